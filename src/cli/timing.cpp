#include "timing.h"

#include <algorithm>
#include <chrono>

#include "lighthouse/core/arena.h"

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

double product_flops(Backend& backend) {
  constexpr int64_t kSize = 2048;
  Arena arena(3 * kSize * kSize * size_of(DType::kFloat32));
  const auto matrix = [&] { return arena.allocate(MemoryUse::kScratch, {kSize, kSize}); };
  const Tensor out = matrix();
  const Tensor x = matrix();
  const Tensor weight = matrix();
  backend.fill(Stream(), x, 0.5f);
  backend.fill(Stream(), weight, 0.25f);
  const double seconds = best_seconds(3, [&] { backend.linear_forward(Stream(), out, x, weight); });
  return 2.0 * kSize * kSize * kSize / seconds;
}

}  // namespace lighthouse
