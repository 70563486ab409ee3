// The operations on a GPU. Each kind of operation has a source file of its own.
//
// The same inputs give the same bits: there are no floating-point atomics, blocks' results are added in a fixed order,
// and grids depend on shapes, not on the GPU.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "lighthouse/kernels/cuda.h"
#include "planning/cuda_backend_base.h"

namespace lighthouse::cuda {

class CudnnAttention;
class LinearPlans;

inline cudaStream_t native(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle());
}

class CudaBackend final : public CudaBackendBase {
 public:
  explicit CudaBackend(const CudaOptions& options);
  ~CudaBackend() override;

  std::string description() const override;
  Hardware hardware() const override;
  int64_t memory_in_use() const override;

  // Memory
  Memory allocate(int64_t bytes) override;
  Memory allocate_host(int64_t bytes) override;
  void do_fill(const Stream&, const Tensor& out, float value) override;
  void do_copy(const Stream&, const Tensor& out, const Tensor& in) override;

  // Order
  Stream compute_stream() override { return Stream(compute_.get()); }
  Stream upload_stream() override { return Stream(upload_.get()); }
  Stream download_stream() override { return Stream(download_.get()); }
  Stream communication_stream() override { return Stream(communication_.get()); }
  Event record(const Stream& stream) override;
  void wait(const Stream& stream, const Event& event) override;
  void wait(const Event& event) override;
  void wait(const Stream& stream) override;
  std::unique_ptr<Graph> do_capture(const Stream& stream, const std::function<void()>& work) override;

  // Embedding
  void do_embedding_forward(const Stream&, const Tensor& out, const Tensor& weight, const Tensor& tokens) override;
  void do_embedding_backward(const Stream&, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                             const Tensor& tokens) override;

  // RMSNorm
  void do_rmsnorm_forward(const Stream&, const Tensor& out, const Tensor& rstd, const Tensor& x, const Tensor& weight,
                          double epsilon) override;
  void do_rmsnorm_residual_forward(const Stream&, const Tensor& sum, const Tensor& out, const Tensor& rstd,
                                   const Tensor& residual, const Tensor& x, const Tensor& weight,
                                   double epsilon) override;
  void do_rmsnorm_backward(const Stream&, const Tensor& dx, const Tensor& dweight, const Tensor& scratch,
                           const Tensor& dout, const Tensor& x, const Tensor& weight, const Tensor& rstd) override;

  // Linear layer
  void do_linear_forward(const Stream&, const Tensor& out, const Tensor& scratch, const Tensor& x,
                         const Tensor& weight) override;
  void do_linear_backward_input(const Stream&, const Tensor& dx, const Tensor& scratch, const Tensor& dout,
                                const Tensor& weight) override;
  void do_linear_backward_weight(const Stream&, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                                 const Tensor& x) override;

  // SwiGLU
  void do_swiglu_forward(const Stream&, const Tensor& out, const Tensor& gate_up) override;
  void do_swiglu_backward(const Stream&, const Tensor& dgate_up, const Tensor& out, const Tensor& dout,
                          const Tensor& gate_up) override;

  // Rotary position embedding
  void do_rope_table(const Stream&, const Tensor& cos, const Tensor& sin, const RopeSettings& rope) override;
  void do_rope_forward(const Stream&, const Tensor& x, const Tensor& cos, const Tensor& sin) override;
  void do_rope_backward(const Stream&, const Tensor& dx, const Tensor& cos, const Tensor& sin) override;

  // Causal attention
  int64_t do_find_documents(const Stream&, const Documents& documents, const Tensor& tokens,
                            int32_t end_of_text) override;
  void do_attention_forward(const Stream&, const Tensor& out, const Tensor& lse, const Tensor& scratch, const Tensor& q,
                            const Tensor& k, const Tensor& v, const AttentionMask& mask) override;
  void do_attention_backward(const Stream&, const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& scratch,
                             const Tensor& dout, const Tensor& out, const Tensor& lse, const Tensor& q, const Tensor& k,
                             const Tensor& v, const AttentionMask& mask) override;

  // One new token
  void do_token_norm_linear(const Stream&, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                            const Tensor& weight) override;
  void do_token_norm_swiglu(const Stream&, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                            const Tensor& gate_up) override;
  void do_token_linear_add(const Stream&, const Tensor& sum, const Tensor& x, const Tensor& weight) override;
  void do_cache_rows(const Stream&, const Tensor& cache, const Tensor& x) override;
  void do_attention_decode(const Stream&, const Tensor& out, const Tensor& k_cache, const Tensor& v_cache,
                           const Tensor& scratch, const Tensor& qkv, const Tensor& cos, const Tensor& sin,
                           const Tensor& position, int64_t window) override;

  // Lighthouse Attention
  void do_lighthouse_norm_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& q, const Tensor& k,
                                 const LighthouseShape& shape) override;
  void do_lighthouse_dilated_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& scratch,
                                    const Tensor& q, const Tensor& k, const Tensor& v, int64_t dilation,
                                    const LighthouseShape& shape) override;
  void do_lighthouse_select(const Stream&, const LighthouseSelection& selection, const Tensor& s_q, const Tensor& s_k,
                            const LighthouseShape& shape) override;
  void do_lighthouse_invert(const Stream&, const LighthouseSelection& selection, const LighthouseShape& shape) override;
  void do_lighthouse_gather(const Stream&, const Tensor& gathered, const Tensor& qkv,
                            const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                            const LighthouseShape& shape) override;
  void do_lighthouse_gather_backward(const Stream&, const Tensor& dqkv, const Tensor& dgathered,
                                     const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                     const LighthouseShape& shape, const Tensor& window_dqkv) override;
  void do_lighthouse_scatter(const Stream&, const Tensor& out, const Tensor& gathered,
                             const LighthouseSelection& selection, const LighthouseShape& shape,
                             const Tensor& window_out) override;
  void do_lighthouse_scatter_backward(const Stream&, const Tensor& dgathered, const Tensor& dout,
                                      const LighthouseSelection& selection, const LighthouseShape& shape) override;

  // Loss
  void do_cross_entropy_forward(const Stream&, const Tensor& losses, const Tensor& logits, const Tensor& targets,
                                int64_t vocab_size) override;
  void do_cross_entropy_forward_backward(const Stream&, const Tensor& losses, const Tensor& logits,
                                         const Tensor& targets, int64_t vocab_size, double scale) override;

  // Optimizer
  void do_add_sum(const Stream&, const Tensor& sum, const Tensor& scratch, const Tensor& x, double scale) override;
  void do_l2_norm(const Stream&, const Tensor& norm, const Tensor& scratch, const Tensor& x) override;
  void do_combine_norms(const Stream&, const Tensor& norm, const Tensor& norms) override;
  void do_plan_update(const Stream&, const Tensor& scalars, const Tensor& step, double learning_rate, double max_norm,
                      const AdamSettings& settings) override;
  void do_adamw(const Stream&, const Tensor& weight, const Tensor& working, const Tensor& m, const Tensor& v,
                const Tensor& gradient, const Tensor& scalars, const AdamSettings& settings) override;

 private:
  struct DestroyStream {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  using OwnedStream = std::unique_ptr<CUstream_st, DestroyStream>;

  /// Makes this backend's GPU the calling thread's current device. Every function that other threads than the run's may
  /// call does this first: a new thread's device is GPU 0, and a CUDA call would create a context there.
  void use_device() const;
  bool launches_early() const { return properties_.major >= 9; }

  cudaDeviceProp properties_{};
  OwnedStream compute_, upload_, download_, communication_;
  std::unique_ptr<LinearPlans> linear_;
  std::unique_ptr<CudnnAttention> attention_;
};

}  // namespace lighthouse::cuda
