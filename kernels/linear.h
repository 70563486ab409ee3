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

/// A product as cuBLASLt sees it, column by column: C [m, n] = op(A) op(B), or C += op(A) op(B).
struct Product {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  int64_t lda = 0, ldb = 0, ldc = 0;
  bool accumulate = false;
  DType inputs = DType::kBFloat16;
  DType output = DType::kBFloat16;
  uint32_t alignment = 0;  // of all three addresses, bytes

  friend auto operator<=>(const Product&, const Product&) = default;
};

/// The algorithm of each product that was met: cuBLASLt's first suggestion, asked for once. Nothing is timed, so the
/// choice, and with it the bits of the result, follows from shapes, GPU and library alone.
class LinearPlans {
 public:
  LinearPlans();
  ~LinearPlans();

  /// Throws RunError if cuBLASLt knows no way or fails.
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
