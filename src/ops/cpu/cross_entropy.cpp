#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu_backend.h"
#include "lighthouse/ops/check.h"
#include "vector_math.h"

namespace lighthouse::cpu {
namespace {

struct RowStatistics {
  float peak;
  double total;  // sum of exp(logit - peak)

  double lse() const { return peak + std::log(total); }
};

RowStatistics statistics_of(const float* logits, int64_t size) {
  float peak = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : peak)
  for (int64_t v = 0; v < size; ++v) peak = logits[v] > peak ? logits[v] : peak;
  constexpr int64_t kBlock = 512;  // elements summed in float32; the blocks are summed in float64
  double total = 0;
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t v = begin; v < std::min(size, begin + kBlock); ++v) sum += exp(logits[v] - peak);
    total += sum;
  }
  return {peak, total};
}

void logits_to_gradient(float* logits, int64_t size, int64_t target, const RowStatistics& row, double scale) {
  const auto factor = static_cast<float>(scale / row.total);
#pragma omp simd
  for (int64_t v = 0; v < size; ++v) logits[v] = exp(logits[v] - row.peak) * factor;
  logits[target] -= static_cast<float>(scale);
}

// Checked on the CPU alone: on a GPU the values of the targets are not known to the host.
void check_targets(const char* operation, const Tensor& targets, int64_t vocab_size) {
  const int32_t* target = targets.data<int32_t>();
  require(std::all_of(target, target + targets.numel(), [=](int32_t t) { return t < vocab_size; }), operation,
          {&targets});
}

}  // namespace

void CpuBackend::do_cross_entropy_forward(const Stream&, const Tensor& losses, const Tensor& logits,
                                          const Tensor& targets, int64_t vocab_size) {
  check_targets("cross_entropy_forward", targets, vocab_size);
  const int64_t width = logits.size(1);
  float* loss = losses.data<float>();
  const float* data = logits.data<float>();
  const int32_t* target = targets.data<int32_t>();
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < logits.size(0); ++t) {
    const float* row = data + t * width;
    loss[t] = target[t] < 0 ? 0.0f : static_cast<float>(statistics_of(row, vocab_size).lse() - row[target[t]]);
  }
}

void CpuBackend::do_cross_entropy_forward_backward(const Stream&, const Tensor& losses, const Tensor& logits,
                                                   const Tensor& targets, int64_t vocab_size, double scale) {
  check_targets("cross_entropy_forward_backward", targets, vocab_size);
  const int64_t width = logits.size(1);
  float *loss = losses.data<float>(), *data = logits.data<float>();
  const int32_t* target = targets.data<int32_t>();
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < logits.size(0); ++t) {
    float* row = data + t * width;
    if (target[t] < 0) {
      loss[t] = 0;
      std::fill_n(row, width, 0.0f);
      continue;
    }
    const RowStatistics statistics = statistics_of(row, vocab_size);
    loss[t] = static_cast<float>(statistics.lse() - row[target[t]]);
    logits_to_gradient(row, vocab_size, target[t], statistics, scale);
    std::fill(row + vocab_size, row + width, 0.0f);
  }
}

}  // namespace lighthouse::cpu
