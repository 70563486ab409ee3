// Checks of an operation's arguments. What they find are programming errors, so they throw std::logic_error.
#pragma once

#include <initializer_list>
#include <string_view>

#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// Throws std::logic_error naming the operation and the shapes it was given, unless `ok`.
void require(bool ok, std::string_view operation, std::initializer_list<const Tensor*> arguments);

template <typename... Tensors>
bool contiguous(const Tensors&... tensors) {
  return (tensors.is_contiguous() && ...);
}

template <typename... Tensors>
bool have_shape(const Shape& shape, const Tensors&... tensors) {
  return ((tensors.shape() == shape) && ...);
}

template <typename... Tensors>
bool have_dtype(DType dtype, const Tensors&... tensors) {
  return ((tensors.dtype() == dtype) && ...);
}

/// Whether activations and working weights may be of this type.
constexpr bool is_activation_type(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kBFloat16;
}

/// [B, N, H, D] whose heads' elements are contiguous.
inline bool has_heads(const Tensor& x) {
  return x.rank() == 4 && (x.stride(3) == 1 || x.size(3) <= 1);
}

}  // namespace lighthouse
