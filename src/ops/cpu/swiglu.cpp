#include "cpu_backend.h"
#include "vector_math.h"

namespace lighthouse::cpu {
void CpuBackend::do_swiglu_forward(const Stream&, const Tensor& out, const Tensor& gate_up) {
  const int64_t rows = out.size(0), width = out.size(1);
  float* o = out.data<float>();
  const float* in = gate_up.data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < rows; ++t) {
    const float *gate = in + 2 * t * width, *up = gate + width;
    float* result = o + t * width;
#pragma omp simd
    for (int64_t f = 0; f < width; ++f) result[f] = gate[f] * sigmoid(gate[f]) * up[f];
  }
}

void CpuBackend::do_swiglu_backward(const Stream&, const Tensor& dgate_up, const Tensor& out, const Tensor& dout,
                                    const Tensor& gate_up) {
  const int64_t rows = dout.size(0), width = dout.size(1);
  float *d = dgate_up.data<float>(), *o = out.data<float>();
  const float *dy = dout.data<float>(), *in = gate_up.data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < rows; ++t) {
    const float *gate = in + 2 * t * width, *up = gate + width, *gradient = dy + t * width;
    float *dgate = d + 2 * t * width, *dup = dgate + width, *result = o + t * width;
#pragma omp simd
    for (int64_t f = 0; f < width; ++f) {
      const float s = sigmoid(gate[f]), silu = gate[f] * s, g = gradient[f];
      dgate[f] = g * up[f] * (s + silu * (1.0f - s));
      dup[f] = g * silu;
      result[f] = silu * up[f];
    }
  }
}

}  // namespace lighthouse::cpu
