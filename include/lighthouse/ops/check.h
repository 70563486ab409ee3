// Checks of an operation's arguments. A failed check is a programming error: std::logic_error.
#pragma once

#include <initializer_list>
#include <string_view>

#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// Throws std::logic_error with the operation's name and the arguments' types and shapes, unless `ok`.
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

/// Whether x is [B, N, H, D] with contiguous heads.
inline bool has_heads(const Tensor& x) {
  return x.rank() == 4 && (x.stride(3) == 1 || x.size(3) <= 1);
}

/// Whether k can be the keys or values of the queries q [B, N, H, D]: [B, N, G, D] with H a multiple of G.
inline bool is_kv_of(const Tensor& q, const Tensor& k) {
  return k.size(0) == q.size(0) && k.size(1) == q.size(1) && k.size(2) > 0 && q.size(2) % k.size(2) == 0 &&
         k.size(3) == q.size(3);
}

}  // namespace lighthouse
