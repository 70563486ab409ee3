#include "blas.h"

#include <cblas.h>
#include <omp.h>

namespace lighthouse::cpu {
namespace {

// OpenBLAS built for OpenMP splits a product among threads when it is called outside a parallel region, or in a team of
// one. The result would depend on the number of threads.
class OneThread {
 public:
  OneThread() : threads_(omp_in_parallel() ? 1 : omp_get_max_threads()) {
    if (threads_ > 1) omp_set_num_threads(1);
  }
  ~OneThread() {
    if (threads_ > 1) omp_set_num_threads(threads_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int threads_;
};

void sgemm(CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, Matrix c, ConstMatrix a, ConstMatrix b, int64_t m,
           int64_t n, int64_t k, float alpha, float beta) {
  const OneThread guard;
  cblas_sgemm(CblasRowMajor, transpose_a, transpose_b, static_cast<blasint>(m), static_cast<blasint>(n),
              static_cast<blasint>(k), alpha, a.data, static_cast<blasint>(a.stride), b.data,
              static_cast<blasint>(b.stride), beta, c.data, static_cast<blasint>(c.stride));
}

}  // namespace

void use_one_blas_thread() {
  // Only if OpenBLAS has its own threads. If it uses OpenMP, this call would set OpenMP's number of threads globally.
  if (openblas_get_parallel() == OPENBLAS_THREAD) openblas_set_num_threads(1);
}

void multiply(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha, float beta) {
  sgemm(CblasNoTrans, CblasNoTrans, c, a, b, m, n, k, alpha, beta);
}

void multiply_transposed_b(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha,
                           float beta) {
  sgemm(CblasNoTrans, CblasTrans, c, a, b, m, n, k, alpha, beta);
}

void multiply_transposed_a(Matrix c, ConstMatrix a, ConstMatrix b, int64_t m, int64_t n, int64_t k, float alpha,
                           float beta) {
  sgemm(CblasTrans, CblasNoTrans, c, a, b, m, n, k, alpha, beta);
}

}  // namespace lighthouse::cpu
