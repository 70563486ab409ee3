#include "cpu_backend.h"
#include "lighthouse/ops/check.h"
#include "vector_math.h"

namespace lighthouse::cpu {
namespace {

void check(const char* operation, const Tensor& out, const Tensor& gate_up) {
  require(out.rank() == 2 && have_shape({out.size(0), 2 * out.size(1)}, gate_up) && contiguous(out, gate_up), operation,
          {&out, &gate_up});
}

}  // namespace

void CpuBackend::swiglu_forward(const Stream&, const Tensor& out, const Tensor& gate_up) {
  check("swiglu_forward", out, gate_up);
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

void CpuBackend::swiglu_backward(const Stream&, const Tensor& dgate_up, const Tensor& out, const Tensor& dout,
                                 const Tensor& gate_up) {
  check("swiglu_backward", out, gate_up);
  check("swiglu_backward", dout, gate_up);
  check("swiglu_backward", dout, dgate_up);
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
