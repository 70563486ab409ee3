#include <cmath>

#include "cpu_backend.h"

namespace lighthouse::cpu {
namespace {

// `direction` is 1 to rotate and -1 to rotate back.
void rotate(const Tensor& x, const Tensor& cos, const Tensor& sin, float direction) {
  const int64_t length = x.size(1), heads = x.size(2), half = x.size(3) / 2;
  float* data = x.data<float>();
  const float *cosines = cos.data<float>(), *sines = sin.data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t token = 0; token < x.size(0) * length; ++token) {
    const int64_t batch = token / length, position = token % length;
    const float *c = cosines + position * half, *s = sines + position * half;
    for (int64_t head = 0; head < heads; ++head) {
      float* first = data + batch * x.stride(0) + position * x.stride(1) + head * x.stride(2);
      float* second = first + half;
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const float a = first[i], b = second[i], sine = direction * s[i];
        first[i] = a * c[i] - b * sine;
        second[i] = b * c[i] + a * sine;
      }
    }
  }
}

}  // namespace

void CpuBackend::do_rope_table(const Stream&, const Tensor& cos, const Tensor& sin, const RopeSettings& rope) {
  const int64_t length = cos.size(0), half = cos.size(1);
  float *cosines = cos.data<float>(), *sines = sin.data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < half; ++i) {
    const double frequency =
        scaled_frequency(std::pow(rope.theta, -static_cast<double>(i) / static_cast<double>(half)), rope.scaling);
    for (int64_t position = 0; position < length; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      cosines[position * half + i] = static_cast<float>(std::cos(angle));
      sines[position * half + i] = static_cast<float>(std::sin(angle));
    }
  }
}

void CpuBackend::do_rope_forward(const Stream&, const Tensor& x, const Tensor& cos, const Tensor& sin) {
  rotate(x, cos, sin, 1.0f);
}

void CpuBackend::do_rope_backward(const Stream&, const Tensor& dx, const Tensor& cos, const Tensor& sin) {
  rotate(dx, cos, sin, -1.0f);
}

}  // namespace lighthouse::cpu
