#include "rates.h"

#include <algorithm>

#include "lighthouse/core/arena.h"
#include "lighthouse/model/attention/attention.h"
#include "timing.h"

namespace lighthouse {
namespace {

/// Attention alone, on tensors of the model's shape.
struct AttentionRun {
  AttentionRun(Backend& the_backend, const AttentionShape& shape) : backend(the_backend) {
    Arena measuring;
    lay_out(measuring, shape);
    arena = Arena(backend.allocate(measuring.used()));
    lay_out(arena, shape);
    fill_random(backend, qkv, "qkv");
    fill_random(backend, dout, "dout");
  }

  void lay_out(Arena& in, const AttentionShape& s) {
    const Shape heads{s.batch, s.sequence_length, s.heads, s.head_dim};
    const auto take = [&](const Shape& shape, DType dtype) { return in.allocate(MemoryUse::kScratch, shape, dtype); };
    for (Tensor* fused : {&qkv, &dqkv}) *fused = take({s.batch, s.sequence_length, s.qkv_size()}, backend.dtype());
    for (Tensor* full : {&out, &dout}) *full = take(heads, backend.dtype());
    lse = take({s.batch, s.heads, s.sequence_length}, DType::kFloat32);
    scratch = take({std::max(backend.attention_forward_scratch(heads, s.kv_heads),
                             backend.attention_backward_scratch(heads, s.kv_heads))},
                   DType::kUInt8);
  }

  double seconds_forward(const QkvViews& x) {
    return best_seconds(3, [&] {
      backend.attention_forward(backend.compute_stream(), out, lse, scratch, x.q, x.k, x.v);
      backend.wait(backend.compute_stream());
    });
  }
  double seconds_backward(const QkvViews& x, const QkvViews& d) {
    return best_seconds(3, [&] {
      backend.attention_backward(backend.compute_stream(), d.q, d.k, d.v, scratch, dout, out, lse, x.q, x.k, x.v);
      backend.wait(backend.compute_stream());
    });
  }

  Backend& backend;
  Arena arena;
  Tensor qkv, dqkv, out, dout, lse, scratch;
};

}  // namespace

double copy_rate(Backend& backend) {
  const bool gpu = backend.device().kind == DeviceKind::kCuda;
  const int64_t bytes = int64_t{1} << (gpu ? 31 : 28);
  Arena arena(backend.allocate(2 * bytes));
  const Tensor to = arena.allocate(MemoryUse::kScratch, {bytes}, DType::kUInt8);
  const Tensor from = arena.allocate(MemoryUse::kScratch, {bytes}, DType::kUInt8);
  backend.fill(backend.compute_stream(), from, 3);
  return 2.0 * static_cast<double>(bytes) / best_seconds(5, [&] {
           backend.copy(backend.compute_stream(), to, from);
           backend.wait(backend.compute_stream());
         });
}

Rates measured_rates(Backend& backend, const ModelConfig& model, int64_t batch, int64_t sequence_length) {
  const bool gpu = backend.device().kind == DeviceKind::kCuda;
  Rates rates;
  rates.product_flops = product_flops(backend, gpu ? 8192 : 2048);
  rates.bytes_per_second = copy_rate(backend);
  const AttentionShape shape{batch, sequence_length, model.num_attention_heads, model.num_key_value_heads,
                             model.head_dim()};
  AttentionRun attention(backend, shape);
  const double forward = causal_attention_flops(attention.out.shape());
  const QkvViews x(attention.qkv, shape), d(attention.dqkv, shape);
  rates.attention_forward_flops = forward / attention.seconds_forward(x);
  rates.attention_backward_flops = 2.5 * forward / attention.seconds_backward(x, d);
  return rates;
}

Rates host_rates(Backend& cpu) {
  const double product = product_flops(cpu, 2048);
  return {product, 0.67 * product, 0.67 * product, copy_rate(cpu)};
}

Rates planned_rates(const Hardware& hardware) {
  return {0.7 * hardware.flops, 0.55 * hardware.flops, 0.48 * hardware.flops, 0.75 * hardware.bytes_per_second};
}

}  // namespace lighthouse
