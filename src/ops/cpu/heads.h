// The heads of strided tensors [B, N, X, D] as matrices [N, D].
#pragma once

#include "blas.h"
#include "lighthouse/core/tensor.h"

namespace lighthouse::cpu {

inline Matrix head_of(const Tensor& x, int64_t batch, int64_t head) {
  return {x.data<float>() + batch * x.stride(0) + head * x.stride(2), x.stride(1)};
}

/// The head of x that query head `head` of `heads` uses.
inline ConstMatrix const_head_of(const Tensor& x, int64_t batch, int64_t head, int64_t heads) {
  const Matrix matrix = head_of(x, batch, head / (heads / x.size(2)));
  return {matrix.data, matrix.stride};
}

inline Matrix rows_from(Matrix matrix, int64_t row) {
  return {matrix.data + row * matrix.stride, matrix.stride};
}
inline ConstMatrix rows_from(ConstMatrix matrix, int64_t row) {
  return {matrix.data + row * matrix.stride, matrix.stride};
}

}  // namespace lighthouse::cpu
