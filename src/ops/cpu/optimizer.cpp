#include <algorithm>
#include <cmath>

#include "cpu_backend.h"
#include "lighthouse/core/bfloat16.h"
#include "lighthouse/ops/check.h"

namespace lighthouse::cpu {
namespace {

constexpr int64_t kSumBlock = 16384;  // elements that are summed together
constexpr int64_t kUpdateBlock = 16384;

int64_t sum_blocks(int64_t numel) {
  return (numel + kSumBlock - 1) / kSumBlock;
}

/// The sum of `term` of each element.
template <typename Term>
double sum_of(const Tensor& x, const Tensor& scratch, const Term& term) {
  const int64_t numel = x.numel(), blocks = sum_blocks(numel);
  const float* data = x.data<float>();
  auto* partial = static_cast<double*>(scratch.raw());
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < blocks; ++block) {
    double sum = 0;
    const int64_t begin = block * kSumBlock, end = std::min(numel, begin + kSumBlock);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += term(static_cast<double>(data[i]));
    partial[block] = sum;
  }
  double total = 0;
  for (int64_t block = 0; block < blocks; ++block) total += partial[block];
  return total;
}

float load(float value) {
  return value;
}
float load(BFloat16 value) {
  return static_cast<float>(value);
}
void store(float& to, float value) {
  to = value;
}
void store(BFloat16& to, float value) {
  to = to_bfloat16(value);
}

template <typename Moment>
void update(const Tensor& weight, const Tensor& m, const Tensor& v, const Tensor& gradient, const float* scalar,
            const AdamSettings& settings) {
  float* w = weight.data<float>();
  Moment *first = m.data<Moment>(), *second = v.data<Moment>();
  const float* dw = gradient.data<float>();
  const float rate = scalar[kLearningRate], bias1 = scalar[kBiasCorrection1], bias2 = scalar[kBiasCorrection2];
  const float scale = scalar[kGradientScale];
  const auto beta1 = static_cast<float>(settings.beta1), beta2 = static_cast<float>(settings.beta2);
  const auto rest1 = static_cast<float>(1 - settings.beta1), rest2 = static_cast<float>(1 - settings.beta2);
  const auto epsilon = static_cast<float>(settings.epsilon), decay = static_cast<float>(settings.weight_decay);
  const int64_t numel = weight.numel();
  // Fixed blocks: which elements are in a vector and which in a remainder does not depend on the number of threads.
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < numel; begin += kUpdateBlock) {
    const int64_t end = std::min(numel, begin + kUpdateBlock);
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float g = dw[i] * scale;
      const float mean = beta1 * load(first[i]) + rest1 * g;
      const float square = beta2 * load(second[i]) + rest2 * (g * g);
      w[i] -= rate * ((mean / bias1) / (std::sqrt(square / bias2) + epsilon) + decay * w[i]);
      store(first[i], mean);
      store(second[i], square);
    }
  }
}

}  // namespace

void CpuBackend::do_add_sum(const Stream&, const Tensor& sum, const Tensor& scratch, const Tensor& x, double scale) {
  *sum.data<double>() += scale * sum_of(x, scratch, [](double value) { return value; });
}

void CpuBackend::do_l2_norm(const Stream&, const Tensor& norm, const Tensor& scratch, const Tensor& x) {
  *norm.data<double>() = std::sqrt(sum_of(x, scratch, [](double value) { return value * value; }));
}

void CpuBackend::do_combine_norms(const Stream&, const Tensor& norm, const Tensor& norms) {
  const double* parts = norms.data<double>();
  double sum = 0;
  for (int64_t i = 0; i < norms.numel(); ++i) sum += parts[i] * parts[i];
  *norm.data<double>() = std::sqrt(sum);
}

int64_t CpuBackend::reduction_scratch(int64_t numel) const {
  return sum_blocks(numel) * int64_t{sizeof(double)};
}

void CpuBackend::do_plan_update(const Stream&, const Tensor& scalars, const Tensor& step, double learning_rate,
                                double max_norm, const AdamSettings& settings) {
  double* of_step = step.data<double>();
  float* scalar = scalars.data<float>();
  const double norm = of_step[kGradientNorm];
  const bool finite = std::isfinite(of_step[kLoss]) && std::isfinite(norm);
  of_step[kSkipped] = finite ? 0 : 1;
  if (finite) of_step[kUpdates] += 1;
  scalar[kLearningRate] = static_cast<float>(learning_rate);
  scalar[kBiasCorrection1] = static_cast<float>(1 - std::pow(settings.beta1, of_step[kUpdates]));
  scalar[kBiasCorrection2] = static_cast<float>(1 - std::pow(settings.beta2, of_step[kUpdates]));
  scalar[kGradientScale] = max_norm > 0 && norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f;
  scalar[kApply] = finite ? 1 : 0;
}

void CpuBackend::do_adamw(const Stream&, const Tensor& weight, const Tensor& working, const Tensor& m, const Tensor& v,
                          const Tensor& gradient, const Tensor& scalars, const AdamSettings& settings) {
  require(!working.defined(), "adamw on the CPU", {&weight, &working});
  const float* scalar = scalars.data<float>();
  if (scalar[kApply] == 0) return;
  if (m.dtype() == DType::kBFloat16) return update<BFloat16>(weight, m, v, gradient, scalar, settings);
  update<float>(weight, m, v, gradient, scalar, settings);
}

}  // namespace lighthouse::cpu
