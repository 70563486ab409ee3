// Times of single operations of the CPU backend: build/bin/lighthouse-benchmarks [--benchmark_filter=...].
#include <benchmark/benchmark.h>

#include <algorithm>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/random.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/blas_core.h"

namespace lighthouse {
namespace {

/// Tensors filled with normal numbers, and a backend.
class Bench {
 public:
  Bench() : backend_(make_cpu_backend()), arena_(int64_t{1} << 30) {}

  Tensor tensor(const Shape& shape) {
    const Tensor result = arena_.allocate(MemoryUse::kScratch, shape);
    const RandomStream stream(1, "benchmark");
    float* values = result.data<float>();
    for (int64_t i = 0; i < result.numel(); ++i)
      values[i] = static_cast<float>(stream.normal(static_cast<uint64_t>(i)));
    return result;
  }
  Tensor bytes(int64_t count) { return arena_.allocate(MemoryUse::kScratch, {count}, DType::kUInt8); }
  Tensor integers(const Shape& shape) { return arena_.allocate(MemoryUse::kScratch, shape, DType::kInt32); }
  Backend& backend() { return *backend_; }

 private:
  std::unique_ptr<Backend> backend_;
  Arena arena_;
};

void count_flops(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops * static_cast<double>(state.iterations()),
                                                benchmark::Counter::kIsRate, benchmark::Counter::kIs1000);
}

void count_bytes(benchmark::State& state, int64_t bytes) {
  state.SetBytesProcessed(state.iterations() * bytes);
}

void linear_forward(benchmark::State& state) {
  Bench bench;
  const int64_t t = state.range(0), o = state.range(1), i = state.range(2);
  const Tensor out = bench.tensor({t, o}), x = bench.tensor({t, i}), weight = bench.tensor({o, i});
  for (auto _ : state) bench.backend().linear_forward({}, out, {}, x, weight);
  count_flops(state, 2.0 * static_cast<double>(t * o * i));
}
BENCHMARK(linear_forward)->Args({2048, 2048, 2048})->Args({8192, 384, 128})->Args({8192, 768, 128})->UseRealTime();

void linear_backward_weight(benchmark::State& state) {
  Bench bench;
  const int64_t t = state.range(0), o = state.range(1), i = state.range(2);
  const Tensor dweight = bench.tensor({o, i}), dout = bench.tensor({t, o}), x = bench.tensor({t, i});
  for (auto _ : state) bench.backend().linear_backward_weight({}, dweight, {}, dout, x);
  count_flops(state, 2.0 * static_cast<double>(t * o * i));
}
BENCHMARK(linear_backward_weight)->Args({8192, 384, 128})->Args({8192, 768, 128})->UseRealTime();

void rmsnorm_residual_forward(benchmark::State& state) {
  Bench bench;
  const int64_t t = state.range(0), c = state.range(1);
  const Tensor sum = bench.tensor({t, c}), out = bench.tensor({t, c}), rstd = bench.tensor({t});
  const Tensor residual = bench.tensor({t, c}), x = bench.tensor({t, c}), weight = bench.tensor({c});
  for (auto _ : state) bench.backend().rmsnorm_residual_forward({}, sum, out, rstd, residual, x, weight, 1e-5);
  count_bytes(state, 4 * sum.bytes());
}
BENCHMARK(rmsnorm_residual_forward)->Args({8192, 128})->UseRealTime();

void swiglu_backward(benchmark::State& state) {
  Bench bench;
  const int64_t t = state.range(0), f = state.range(1);
  const Tensor d = bench.tensor({t, 2 * f}), out = bench.tensor({t, f});
  const Tensor dout = bench.tensor({t, f}), gate_up = bench.tensor({t, 2 * f});
  for (auto _ : state) bench.backend().swiglu_backward({}, d, out, dout, gate_up);
  count_bytes(state, 6 * dout.bytes());
}
BENCHMARK(swiglu_backward)->Args({8192, 384})->UseRealTime();

void attention_forward(benchmark::State& state) {
  Bench bench;
  const int64_t n = state.range(0), h = 4, d = 64;
  const Tensor out = bench.tensor({1, n, h, d}), lse = bench.tensor({1, h, n});
  const Tensor q = bench.tensor({1, n, h, d}), k = bench.tensor({1, n, h, d}), v = bench.tensor({1, n, h, d});
  const Tensor scratch = bench.bytes(bench.backend().attention_forward_scratch(q.shape(), h, false, 0));
  for (auto _ : state) bench.backend().attention_forward({}, out, lse, scratch, q, k, v);
  count_flops(state, 2.0 * static_cast<double>(n * n * h * d));
}
BENCHMARK(attention_forward)->Arg(2048)->Arg(8192)->UseRealTime();

void lighthouse_gather(benchmark::State& state) {
  Bench bench;
  const int64_t n = state.range(0), h = 4, d = 64;
  const LighthouseShape shape{n, 3, 4, n / 64, std::min<int64_t>(128, n / 64), true};
  const Tensor qkv = bench.tensor({1, n, 3 * h, d}), gathered = bench.tensor({1, shape.gathered(), 3 * h, d});
  const Tensor cos = bench.tensor({n, d / 2}), sin = bench.tensor({n, d / 2});
  const Tensor s_q = bench.tensor({1, h, shape.scored_entries()}), s_k = bench.tensor({1, h, shape.scored_entries()});
  const LighthouseSelection selection{bench.integers({1, h, shape.gathered()}),
                                      bench.integers({1, h, shape.all_entries()})};
  bench.backend().lighthouse_select({}, selection, s_q, s_k, shape);
  for (auto _ : state) bench.backend().lighthouse_gather({}, gathered, qkv, selection, cos, sin, shape);
  count_bytes(state, qkv.bytes() + gathered.bytes());
}
BENCHMARK(lighthouse_gather)->Arg(16384)->UseRealTime();

}  // namespace
}  // namespace lighthouse

int main(int argc, char** argv) {
  lighthouse::use_fast_blas_kernels(argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
