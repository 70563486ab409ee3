// What the CUDA backend and a plan without a GPU have in common: types and sizes, no operations.
#pragma once

#include "lighthouse/kernels/cuda_scratch.h"
#include "lighthouse/kernels/planning.h"

namespace lighthouse::cuda {

class CudaBackendBase : public Backend {
 public:
  explicit CudaBackendBase(const CudaOptions& options) : options_(options) {}

  Device device() const final { return {DeviceKind::kCuda, options_.device}; }
  DType dtype() const final { return options_.dtype; }
  int64_t logits_bytes() const final { return cuda_scratch::kLogitsBytes; }

  int64_t embedding_backward_scratch(int64_t tokens, int64_t hidden_size) const final {
    return cuda_scratch::embedding_backward(tokens, hidden_size);
  }
  int64_t rmsnorm_backward_scratch(int64_t tokens, int64_t hidden_size) const final {
    return cuda_scratch::rmsnorm_backward(tokens, hidden_size);
  }
  int64_t linear_scratch() const final { return cuda_scratch::linear(); }
  int64_t attention_forward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t /*window*/) const final {
    return cuda_scratch::attention_forward(options_.dtype, q, kv_heads, documents);
  }
  int64_t attention_backward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const final {
    return cuda_scratch::attention_backward(options_.dtype, q, kv_heads, options_.deterministic,
                                            options_.attention_workspace, documents, window);
  }
  int64_t attention_decode_scratch(const Shape& cache, int64_t heads) const final {
    return cuda_scratch::attention_decode(cache, heads);
  }
  int64_t lighthouse_dilated_scores_scratch(const Shape& q, int64_t kv_heads, int64_t /*dilation*/,
                                            const LighthouseShape& /*shape*/) const final {
    return cuda_scratch::dilated_scores(options_.dtype, q, kv_heads);
  }
  int64_t reduction_scratch(int64_t numel) const final { return cuda_scratch::reduction(numel); }

 protected:
  CudaOptions options_;
};

}  // namespace lighthouse::cuda
