// Matrix products of row-major float32 matrices.
#pragma once

#include <cstdint>

namespace lighthouse::cpu {

/// Makes the products below run in the calling thread. Call it once.
void use_one_blas_thread();

/// A row-major matrix: element (i, j) lies at data[i * stride + j].
struct Matrix {
  float* data;
  int64_t stride;
};
struct ConstMatrix {
  const float* data;
  int64_t stride;
};

/// c [m, n] = alpha a [m, k] b [k, n] + beta c, in the calling thread. beta = 0 does not read c.
void multiply(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha, float beta);
/// The same with b given as its transpose, [n, k].
void multiply_transposed_b(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha,
                           float beta);
/// The same with a given as its transpose, [k, m].
void multiply_transposed_a(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha,
                           float beta);

}  // namespace lighthouse::cpu
