// Attention operands [B, N, X, D], strided, seen head by head as matrices [N, D].
#pragma once

#include "blas.h"
#include "lighthouse/core/tensor.h"

namespace lighthouse::cpu {

inline Matrix head_of(const Tensor& x, int64_t batch, int64_t head) {
  return {x.data<float>() + batch * x.stride(0) + head * x.stride(2), x.stride(1)};
}

/// The head of x that serves query head `head` of `heads`.
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

/// Whether k may be keys or values of the queries q: [B, N, G, D] with H a multiple of G.
inline bool is_kv_of(const Tensor& q, const Tensor& k) {
  return k.size(0) == q.size(0) && k.size(1) == q.size(1) && k.size(2) > 0 && q.size(2) % k.size(2) == 0 &&
         k.size(3) == q.size(3);
}

}  // namespace lighthouse::cpu
