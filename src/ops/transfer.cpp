#include "lighthouse/ops/transfer.h"

#include <algorithm>

#include "lighthouse/core/bfloat16.h"

namespace lighthouse {
namespace {

template <typename T>
std::vector<T> copied(Backend& backend, const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.numel()));
  backend.copy(backend.compute_stream(), {values.data(), tensor.shape(), kDTypeOf<T>}, tensor);
  backend.wait(backend.compute_stream());
  return values;
}

}  // namespace

void upload(Backend& backend, const Tensor& out, const Tensor& host) {
  backend.copy(backend.compute_stream(), out, host);
  backend.wait(backend.compute_stream());
}

void upload_rounded(Backend& backend, const Tensor& out, const Tensor& host) {
  if (out.dtype() == host.dtype()) return upload(backend, out, host);
  const float* values = host.data<float>();
  std::vector<BFloat16> rounded(static_cast<size_t>(host.numel()));
  std::transform(values, values + host.numel(), rounded.begin(), to_bfloat16);
  upload(backend, out, {rounded.data(), host.shape(), DType::kBFloat16});
}

template <>
std::vector<float> download(Backend& backend, const Tensor& tensor) {
  if (tensor.dtype() != DType::kBFloat16) return copied<float>(backend, tensor);
  const auto rounded = copied<BFloat16>(backend, tensor);
  std::vector<float> values(rounded.size());
  std::transform(rounded.begin(), rounded.end(), values.begin(), [](BFloat16 x) { return static_cast<float>(x); });
  return values;
}

template <>
std::vector<double> download(Backend& backend, const Tensor& tensor) {
  return copied<double>(backend, tensor);
}

template <>
std::vector<int32_t> download(Backend& backend, const Tensor& tensor) {
  return copied<int32_t>(backend, tensor);
}

}  // namespace lighthouse
