#include "timing.h"

#include <algorithm>
#include <chrono>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/random.h"
#include "lighthouse/ops/transfer.h"

namespace lighthouse {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

double best_seconds(int64_t repeats, const std::function<void()>& work) {
  work();
  double best = seconds_of(work);
  for (int64_t i = 1; i < repeats; ++i) best = std::min(best, seconds_of(work));
  return best;
}

double seconds_on(Backend& backend, int64_t repeats, const std::function<void()>& work) {
  constexpr double kLongEnough = 0.02;
  const Stream stream = backend.compute_stream();
  work();  // libraries choose their algorithms in the first run, which cannot be recorded
  backend.wait(stream);
  const auto graph = backend.capture(stream, work);
  const auto measure = [&](int64_t runs) {
    return seconds_of([&] {
      for (int64_t i = 0; i < runs; ++i) graph ? graph->launch(stream) : work();
      backend.wait(stream);
    });
  };
  double best = measure(1);
  const auto runs = std::clamp<int64_t>(static_cast<int64_t>(kLongEnough / best), 1, 100);
  for (int64_t i = 0; i < repeats; ++i) best = std::min(best, measure(runs) / static_cast<double>(runs));
  return best;
}

void fill_random(Backend& backend, const Tensor& tensor, const char* name) {
  constexpr int64_t kDrawn = int64_t{1} << 24, kChunk = kDrawn / 4;
  const RandomStream random(1, name);
  std::vector<float> values(static_cast<size_t>(std::min(tensor.numel(), kDrawn)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(random.normal(i));
  const Tensor flat = tensor.view({tensor.numel()});
  if (tensor.numel() <= kDrawn) return upload_rounded(backend, flat, {values.data(), flat.shape(), DType::kFloat32});
  for (int64_t begin = 0; begin < flat.numel(); begin += kChunk) {
    const int64_t count = std::min(kChunk, flat.numel() - begin);
    const int64_t from = begin * 7919 / 3 % (kDrawn - kChunk);  // not a multiple of a row's length, so that rows differ
    upload_rounded(backend, flat.slice(0, begin, begin + count), {values.data() + from, {count}, DType::kFloat32});
  }
}

double product_flops(Backend& backend, int64_t size) {
  const Stream stream = backend.compute_stream();
  Arena arena(backend.allocate(3 * size * size * size_of(backend.dtype()) + backend.linear_scratch()));
  const auto matrix = [&] { return arena.allocate(MemoryUse::kScratch, {size, size}, backend.dtype()); };
  const Tensor out = matrix();
  const Tensor x = matrix();
  const Tensor weight = matrix();
  const Tensor scratch = arena.allocate(MemoryUse::kScratch, {backend.linear_scratch()}, DType::kUInt8);
  // A GPU multiplies constants faster than other numbers.
  fill_random(backend, x, "x");
  fill_random(backend, weight, "weight");
  const double seconds = best_seconds(3, [&] {
    backend.linear_forward(stream, out, scratch, x, weight);
    backend.wait(stream);
  });
  return 2.0 * static_cast<double>(size * size * size) / seconds;
}

}  // namespace lighthouse
