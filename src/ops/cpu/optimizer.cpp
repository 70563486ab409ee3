#include <algorithm>
#include <cmath>

#include "check.h"
#include "cpu_backend.h"

namespace lighthouse::cpu {
namespace {

constexpr int64_t kNormBlock = 16384;  // elements whose squares are summed together
constexpr int64_t kUpdateBlock = 16384;

int64_t norm_blocks(int64_t numel) {
  return (numel + kNormBlock - 1) / kNormBlock;
}

}  // namespace

void CpuBackend::l2_norm(const Stream&, const Tensor& norm, const Tensor& scratch, const Tensor& x) {
  require(norm.numel() == 1 && contiguous(x) && scratch.bytes() >= l2_norm_scratch(x.numel()), "l2_norm",
          {&norm, &scratch, &x});
  const int64_t numel = x.numel(), blocks = norm_blocks(numel);
  const float* data = x.data<float>();
  auto* partial = static_cast<double*>(scratch.raw());
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < blocks; ++block) {
    double sum = 0;
    const int64_t begin = block * kNormBlock, end = std::min(numel, begin + kNormBlock);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += static_cast<double>(data[i]) * data[i];
    partial[block] = sum;
  }
  double total = 0;
  for (int64_t block = 0; block < blocks; ++block) total += partial[block];
  *norm.data<double>() = std::sqrt(total);
}

int64_t CpuBackend::l2_norm_scratch(int64_t numel) const {
  return norm_blocks(numel) * int64_t{sizeof(double)};
}

void CpuBackend::adamw(const Stream&, const Tensor& weight, const Tensor& m, const Tensor& v, const Tensor& gradient,
                       const Tensor& scalars, const AdamSettings& settings) {
  require(m.numel() == weight.numel() && v.numel() == weight.numel() && gradient.numel() == weight.numel() &&
              scalars.numel() == kAdamScalars && contiguous(weight, m, v, gradient, scalars),
          "adamw", {&weight, &m, &v, &gradient, &scalars});
  float *w = weight.data<float>(), *first = m.data<float>(), *second = v.data<float>();
  const float *dw = gradient.data<float>(), *scalar = scalars.data<float>();
  const float rate = scalar[kLearningRate], bias1 = scalar[kBiasCorrection1], bias2 = scalar[kBiasCorrection2];
  const float scale = scalar[kGradientScale];
  const auto beta1 = static_cast<float>(settings.beta1), beta2 = static_cast<float>(settings.beta2);
  const auto rest1 = static_cast<float>(1 - settings.beta1), rest2 = static_cast<float>(1 - settings.beta2);
  const auto epsilon = static_cast<float>(settings.epsilon), decay = static_cast<float>(settings.weight_decay);
  const int64_t numel = weight.numel();
  // Fixed blocks, so that which elements fall into a vector and which into a remainder never depends on the threads.
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < numel; begin += kUpdateBlock) {
    const int64_t end = std::min(numel, begin + kUpdateBlock);
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float g = dw[i] * scale;
      first[i] = beta1 * first[i] + rest1 * g;
      second[i] = beta2 * second[i] + rest2 * (g * g);
      w[i] -= rate * ((first[i] / bias1) / (std::sqrt(second[i] / bias2) + epsilon) + decay * w[i]);
    }
  }
}

}  // namespace lighthouse::cpu
