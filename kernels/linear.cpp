#include "linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "cuda_backend.h"
#include "lighthouse/core/error.h"
#include "lighthouse/kernels/cuda_scratch.h"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

void check(cublasStatus_t status, const Product& p, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw RunError(fmt::format("{} failed: {} (a product of {} x {} x {}, {} to {})", call,
                             cublasLtGetStatusString(status), p.m, p.n, p.k, name_of(p.inputs), name_of(p.output)));
}

cudaDataType_t type_of(DType dtype) {
  if (dtype == DType::kBFloat16) return CUDA_R_16BF;
  if (dtype == DType::kFloat32) return CUDA_R_32F;
  throw std::logic_error("a product is of float32 or bfloat16");
}

struct Layout {
  cublasLtMatrixLayoutOpaque_t opaque{};

  Layout(const Product& p, DType dtype, int64_t rows, int64_t columns, int64_t leading) {
    check(cublasLtMatrixLayoutInit(&opaque, type_of(dtype), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns),
                                   leading),
          p, "cublasLtMatrixLayoutInit");
  }
};

/// The largest power of two, up to 256, that divides all addresses.
template <typename... Addresses>
uint32_t common_alignment(const Addresses*... addresses) {
  const uint64_t bits = (uint64_t{256} | ... | reinterpret_cast<uint64_t>(addresses));
  return static_cast<uint32_t>(bits & (~bits + 1));
}

}  // namespace

struct LinearPlans::Plan {
  cublasLtMatmulDescOpaque_t operation{};
  Layout a, b, c;
  cublasLtMatmulAlgo_t algorithm{};

  Plan(const Product& p, cublasLtHandle_t handle, int64_t workspace_bytes);
};

LinearPlans::Plan::Plan(const Product& p, cublasLtHandle_t handle, int64_t workspace_bytes)
    : a(p, p.inputs, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda),
      b(p, p.inputs, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb),
      c(p, p.output, p.m, p.n, p.ldc) {
  check(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), p, "cublasLtMatmulDescInit");
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, bool transpose) {
    const cublasOperation_t value = transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof(value)), p,
          "cublasLtMatmulDescSetAttribute");
  };
  set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a);
  set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b);

  cublasLtMatmulPreferenceOpaque_t preference{};
  check(cublasLtMatmulPreferenceInit(&preference), p, "cublasLtMatmulPreferenceInit");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)), p,
          "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(workspace_bytes));
  for (const auto side : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    prefer(side, p.alignment);
  }
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, &operation, &a.opaque, &b.opaque, &c.opaque, &c.opaque, &preference, 1,
                                       &result, &found),
        p, "cublasLtMatmulAlgoGetHeuristic");
  check(found > 0 ? result.state : CUBLAS_STATUS_NOT_SUPPORTED, p, "cublasLtMatmulAlgoGetHeuristic");
  algorithm = result.algo;
}

LinearPlans::LinearPlans() {
  cublasLtHandle_t handle = nullptr;
  check(cublasLtCreate(&handle), {}, "cublasLtCreate");
  handle_.reset(handle);
}

LinearPlans::~LinearPlans() = default;

LinearPlans::Plan& LinearPlans::plan_of(const Product& product, int64_t workspace_bytes) {
  auto& plan = plans_[product];
  if (!plan) plan = std::make_unique<Plan>(product, handle_.get(), workspace_bytes);
  return *plan;
}

void LinearPlans::run(const Stream& stream, const Product& product, const void* a, const void* b, void* c,
                      const Tensor& workspace) {
  Plan& plan = plan_of(product, workspace.bytes());
  const float alpha = 1;
  const float beta = product.accumulate ? 1 : 0;
  check(cublasLtMatmul(handle_.get(), &plan.operation, &alpha, a, &plan.a.opaque, b, &plan.b.opaque, &beta, c,
                       &plan.c.opaque, c, &plan.c.opaque, &plan.algorithm, workspace.raw(),
                       static_cast<size_t>(workspace.bytes()), native(stream)),
        product, "cublasLtMatmul");
}

// cuBLASLt's matrices are column-major: it sees every row-major matrix transposed.

void CudaBackend::do_linear_forward(const Stream& stream, const Tensor& out, const Tensor& scratch, const Tensor& x,
                                    const Tensor& weight) {
  const ProfileRange range("linear_forward");
  const int64_t tokens = x.size(0), inputs = x.size(1), outputs = out.size(1);
  const Product product{outputs, tokens,    inputs,      true,
                        false,   inputs,    inputs,      outputs,
                        false,   x.dtype(), out.dtype(), common_alignment(weight.raw(), x.raw(), out.raw())};
  linear_->run(stream, product, weight.raw(), x.raw(), out.raw(), scratch);
}

void CudaBackend::do_linear_backward_input(const Stream& stream, const Tensor& dx, const Tensor& scratch,
                                           const Tensor& dout, const Tensor& weight) {
  const ProfileRange range("linear_backward_input");
  const int64_t tokens = dx.size(0), inputs = dx.size(1), outputs = dout.size(1);
  const Product product{inputs, tokens,       outputs,    false,
                        false,  inputs,       outputs,    inputs,
                        false,  dout.dtype(), dx.dtype(), common_alignment(weight.raw(), dout.raw(), dx.raw())};
  linear_->run(stream, product, weight.raw(), dout.raw(), dx.raw(), scratch);
}

void CudaBackend::do_linear_backward_weight(const Stream& stream, const Tensor& dweight, const Tensor& scratch,
                                            const Tensor& dout, const Tensor& x) {
  const ProfileRange range("linear_backward_weight");
  const int64_t tokens = x.size(0), inputs = x.size(1), outputs = dout.size(1);
  const Product product{inputs, outputs,   tokens,          false,
                        true,   inputs,    outputs,         inputs,
                        true,   x.dtype(), DType::kFloat32, common_alignment(x.raw(), dout.raw(), dweight.raw())};
  linear_->run(stream, product, x.raw(), dout.raw(), dweight.data<float>(), scratch);
}

}  // namespace lighthouse::cuda
