#include "timing.h"

#include <algorithm>
#include <chrono>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/bfloat16.h"
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

void fill_random(Backend& backend, const Tensor& tensor, const char* name) {
  const RandomStream random(1, name);
  std::vector<float> values(static_cast<size_t>(tensor.numel()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(random.normal(i));
  const Tensor host(values.data(), tensor.shape(), DType::kFloat32);
  if (tensor.dtype() == DType::kFloat32) return upload(backend, tensor, host);
  std::vector<BFloat16> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), to_bfloat16);
  upload(backend, tensor, {rounded.data(), tensor.shape(), DType::kBFloat16});
}

double product_flops(Backend& backend, int64_t size) {
  const Stream stream = backend.compute_stream();
  Arena arena(backend.allocate(3 * size * size * size_of(backend.dtype()) + backend.linear_scratch()));
  const auto matrix = [&] { return arena.allocate(MemoryUse::kScratch, {size, size}, backend.dtype()); };
  const Tensor out = matrix();
  const Tensor x = matrix();
  const Tensor weight = matrix();
  const Tensor scratch = arena.allocate(MemoryUse::kScratch, {backend.linear_scratch()}, DType::kUInt8);
  // Not constants: a GPU computes those faster than it does other numbers.
  fill_random(backend, x, "x");
  fill_random(backend, weight, "weight");
  const double seconds = best_seconds(3, [&] {
    backend.linear_forward(stream, out, scratch, x, weight);
    backend.wait(stream);
  });
  return 2.0 * static_cast<double>(size * size * size) / seconds;
}

}  // namespace lighthouse
