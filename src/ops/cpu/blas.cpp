#include "blas.h"

#include <cblas.h>

namespace lighthouse::cpu {

void multiply(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha, float beta) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(m), static_cast<blasint>(n),
              static_cast<blasint>(k), alpha, a.data, static_cast<blasint>(a.stride), b.data,
              static_cast<blasint>(b.stride), beta, c.data, static_cast<blasint>(c.stride));
}

void multiply_transposed_b(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha,
                           float beta) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<blasint>(m), static_cast<blasint>(n),
              static_cast<blasint>(k), alpha, a.data, static_cast<blasint>(a.stride), b.data,
              static_cast<blasint>(b.stride), beta, c.data, static_cast<blasint>(c.stride));
}

void multiply_transposed_a(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha,
                           float beta) {
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<blasint>(m), static_cast<blasint>(n),
              static_cast<blasint>(k), alpha, a.data, static_cast<blasint>(a.stride), b.data,
              static_cast<blasint>(b.stride), beta, c.data, static_cast<blasint>(c.stride));
}

}  // namespace lighthouse::cpu
