// The operations on a GPU. A kind of operation has a file of its own; this is what they share.
//
// No floating-point atomics: what blocks yield is added in a fixed order, and grids follow from shapes, not from the
// GPU, so that the same inputs give the same bits.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "lighthouse/kernels/cuda.h"
#include "lighthouse/ops/cuda_scratch.h"

namespace lighthouse::cuda {

class CudnnAttention;
class LinearPlans;

inline cudaStream_t native(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle());
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options);
  ~CudaBackend() override;

  Device device() const override { return {DeviceKind::kCuda, options_.device}; }
  DType dtype() const override { return options_.dtype; }
  std::string description() const override;
  Hardware hardware() const override;
  int64_t memory_in_use() const override;
  int64_t logits_bytes() const override { return cuda_scratch::kLogitsBytes; }

  // Memory
  Memory allocate(int64_t bytes) override;
  Memory allocate_host(int64_t bytes) override;
  void fill(const Stream&, const Tensor& out, float value) override;
  void copy(const Stream&, const Tensor& out, const Tensor& in) override;

  // Order
  Stream compute_stream() override { return Stream(compute_.get()); }
  Stream upload_stream() override { return Stream(upload_.get()); }
  Stream download_stream() override { return Stream(download_.get()); }
  Stream communication_stream() override { return Stream(communication_.get()); }
  Event record(const Stream& stream) override;
  void wait(const Stream& stream, const Event& event) override;
  void wait(const Event& event) override;
  void wait(const Stream& stream) override;
  std::unique_ptr<Graph> capture(const Stream& stream, const std::function<void()>& work) override;

  // Embedding
  void embedding_forward(const Stream&, const Tensor& out, const Tensor& weight, const Tensor& tokens) override;
  void embedding_backward(const Stream&, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                          const Tensor& tokens) override;
  int64_t embedding_backward_scratch(int64_t tokens, int64_t hidden_size) const override;

  // RMSNorm
  void rmsnorm_forward(const Stream&, const Tensor& out, const Tensor& rstd, const Tensor& x, const Tensor& weight,
                       double epsilon) override;
  void rmsnorm_residual_forward(const Stream&, const Tensor& sum, const Tensor& out, const Tensor& rstd,
                                const Tensor& residual, const Tensor& x, const Tensor& weight, double epsilon) override;
  void rmsnorm_backward(const Stream&, const Tensor& dx, const Tensor& dweight, const Tensor& scratch,
                        const Tensor& dout, const Tensor& x, const Tensor& weight, const Tensor& rstd) override;
  int64_t rmsnorm_backward_scratch(int64_t tokens, int64_t hidden_size) const override;

  // Linear layer
  void linear_forward(const Stream&, const Tensor& out, const Tensor& scratch, const Tensor& x,
                      const Tensor& weight) override;
  void linear_backward_input(const Stream&, const Tensor& dx, const Tensor& scratch, const Tensor& dout,
                             const Tensor& weight) override;
  void linear_backward_weight(const Stream&, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                              const Tensor& x) override;
  int64_t linear_scratch() const override;

  // SwiGLU
  void swiglu_forward(const Stream&, const Tensor& out, const Tensor& gate_up) override;
  void swiglu_backward(const Stream&, const Tensor& dgate_up, const Tensor& out, const Tensor& dout,
                       const Tensor& gate_up) override;

  // Rotary position embedding, half
  void rope_table(const Stream&, const Tensor& cos, const Tensor& sin, const RopeSettings& rope) override;
  void rope_forward(const Stream&, const Tensor& x, const Tensor& cos, const Tensor& sin) override;
  void rope_backward(const Stream&, const Tensor& dx, const Tensor& cos, const Tensor& sin) override;

  // Causal attention
  int64_t find_documents(const Stream&, const Documents& documents, const Tensor& tokens, int32_t end_of_text) override;
  void attention_forward(const Stream&, const Tensor& out, const Tensor& lse, const Tensor& scratch, const Tensor& q,
                         const Tensor& k, const Tensor& v, const AttentionMask& mask) override;
  int64_t attention_forward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const override;
  void attention_backward(const Stream&, const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& scratch,
                          const Tensor& dout, const Tensor& out, const Tensor& lse, const Tensor& q, const Tensor& k,
                          const Tensor& v, const AttentionMask& mask) override;
  int64_t attention_backward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const override;
  void token_norm_linear(const Stream&, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                         const Tensor& weight) override;
  void token_norm_swiglu(const Stream&, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                         const Tensor& gate_up) override;
  void token_linear_add(const Stream&, const Tensor& sum, const Tensor& x, const Tensor& weight) override;
  void cache_rows(const Stream&, const Tensor& cache, const Tensor& x) override;
  void attention_decode(const Stream&, const Tensor& out, const Tensor& k_cache, const Tensor& v_cache,
                        const Tensor& scratch, const Tensor& qkv, const Tensor& cos, const Tensor& sin,
                        const Tensor& position, int64_t window) override;
  int64_t attention_decode_scratch(const Shape& cache, int64_t heads) const override;

  // Lighthouse Attention
  void lighthouse_norm_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& q, const Tensor& k,
                              const LighthouseShape& shape) override;
  void lighthouse_dilated_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& scratch,
                                 const Tensor& q, const Tensor& k, const Tensor& v, int64_t dilation,
                                 const LighthouseShape& shape) override;
  int64_t lighthouse_dilated_scores_scratch(const Shape& q, int64_t kv_heads, int64_t dilation,
                                            const LighthouseShape& shape) const override;
  void lighthouse_select(const Stream&, const LighthouseSelection& selection, const Tensor& s_q, const Tensor& s_k,
                         const LighthouseShape& shape) override;
  void lighthouse_invert(const Stream&, const LighthouseSelection& selection, const LighthouseShape& shape) override;
  void lighthouse_gather(const Stream&, const Tensor& gathered, const Tensor& qkv, const LighthouseSelection& selection,
                         const Tensor& cos, const Tensor& sin, const LighthouseShape& shape) override;
  void lighthouse_gather_backward(const Stream&, const Tensor& dqkv, const Tensor& dgathered,
                                  const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                  const LighthouseShape& shape, const Tensor& window_dqkv) override;
  void lighthouse_scatter(const Stream&, const Tensor& out, const Tensor& gathered,
                          const LighthouseSelection& selection, const LighthouseShape& shape,
                          const Tensor& window_out) override;
  void lighthouse_scatter_backward(const Stream&, const Tensor& dgathered, const Tensor& dout,
                                   const LighthouseSelection& selection, const LighthouseShape& shape) override;

  // Loss
  void cross_entropy_forward(const Stream&, const Tensor& losses, const Tensor& logits, const Tensor& targets,
                             int64_t vocab_size) override;
  void cross_entropy_forward_backward(const Stream&, const Tensor& losses, const Tensor& logits, const Tensor& targets,
                                      int64_t vocab_size, double scale) override;

  // Optimizer
  void add_sum(const Stream&, const Tensor& sum, const Tensor& scratch, const Tensor& x, double scale) override;
  void l2_norm(const Stream&, const Tensor& norm, const Tensor& scratch, const Tensor& x) override;
  void combine_norms(const Stream&, const Tensor& norm, const Tensor& norms) override;
  int64_t reduction_scratch(int64_t numel) const override;
  void plan_update(const Stream&, const Tensor& scalars, const Tensor& step, double learning_rate, double max_norm,
                   const AdamSettings& settings) override;
  void adamw(const Stream&, const Tensor& weight, const Tensor& working, const Tensor& m, const Tensor& v,
             const Tensor& gradient, const Tensor& scalars, const AdamSettings& settings) override;

 private:
  struct DestroyStream {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  using OwnedStream = std::unique_ptr<CUstream_st, DestroyStream>;

  /// Makes this backend's GPU the calling thread's current device: a thread begins with GPU 0, and a call made there
  /// would create a context on it. Whatever other threads than the run's own may call does this first.
  void use_device() const;
  bool launches_early() const { return properties_.major >= 9; }

  CudaOptions options_;
  cudaDeviceProp properties_{};
  OwnedStream compute_, upload_, download_, communication_;
  std::unique_ptr<LinearPlans> linear_;
  std::unique_ptr<CudnnAttention> attention_;
};

}  // namespace lighthouse::cuda
