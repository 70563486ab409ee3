// Matrix products by cuBLASLt.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/stream.h"

namespace lighthouse::cuda {

/// A product of column-major matrices, as cuBLASLt takes them: C [m, n] = op(A) op(B), or C += op(A) op(B).
struct Product {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  int64_t lda = 0, ldb = 0, ldc = 0;
  bool accumulate = false;
  DType inputs = DType::kBFloat16;
  DType output = DType::kBFloat16;
  uint32_t alignment = 0;  // of all three addresses, in bytes

  friend auto operator<=>(const Product&, const Product&) = default;
};

/// Keeps an algorithm for each product: cuBLASLt's first suggestion. Nothing is timed, so the choice, and with it the
/// bits of the result, depends only on shapes, GPU and library.
class LinearPlans {
 public:
  LinearPlans();
  ~LinearPlans();

  /// Throws RunError if cuBLASLt has no algorithm or fails.
  void run(const Stream& stream, const Product& product, const void* a, const void* b, void* c,
           const Tensor& workspace);

 private:
  struct Plan;
  Plan& plan_of(const Product& product, int64_t workspace_bytes);

  struct DestroyHandle {
    void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
  };
  std::unique_ptr<cublasLtContext, DestroyHandle> handle_;
  std::map<Product, std::unique_ptr<Plan>> plans_;
};

}  // namespace lighthouse::cuda
