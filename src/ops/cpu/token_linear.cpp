#include <vector>

#include "cpu_backend.h"

namespace lighthouse::cpu {
namespace {

/// A row with its own memory.
struct Row {
  std::vector<float> values;
  Tensor tensor;

  explicit Row(int64_t size) : values(static_cast<size_t>(size)), tensor(values.data(), {1, size}, DType::kFloat32) {}
};

}  // namespace

void CpuBackend::do_token_norm_linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                      double epsilon, const Tensor& weight) {
  const Row normed(x.numel()), rstd(1);
  rmsnorm_forward(stream, normed.tensor, rstd.tensor.view({1}), x, norm, epsilon);
  linear_forward(stream, out, Tensor(), normed.tensor, weight);
}

void CpuBackend::do_token_norm_swiglu(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                      double epsilon, const Tensor& gate_up) {
  const Row both(gate_up.size(0));
  token_norm_linear(stream, both.tensor, x, norm, epsilon, gate_up);
  swiglu_forward(stream, out, both.tensor);
}

void CpuBackend::do_token_linear_add(const Stream& stream, const Tensor& sum, const Tensor& x, const Tensor& weight) {
  const Row product(sum.numel());
  linear_forward(stream, product.tensor, Tensor(), x, weight);
  for (size_t i = 0; i < product.values.size(); ++i) sum.data<float>()[i] += product.values[i];
}

}  // namespace lighthouse::cpu
