// The operations on the CPU: float32, threads by OpenMP, matrix products by OpenBLAS with one thread a tile.
//
// Results do not depend on the number of threads: block sizes depend only on shapes, and blocks' results are added in a
// fixed order.
#pragma once

#include "lighthouse/core/units.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse::cpu {

class CpuBackend final : public Backend {
 public:
  CpuBackend();

  Device device() const override { return {}; }
  DType dtype() const override { return DType::kFloat32; }
  std::string description() const override;
  Hardware hardware() const override;
  int64_t memory_in_use() const override;
  int64_t logits_bytes() const override { return 64 * kMebibyte; }

  // Memory
  Memory allocate(int64_t bytes) override { return Memory::host(bytes); }
  Memory allocate_host(int64_t bytes) override { return Memory::host(bytes); }
  void do_fill(const Stream&, const Tensor& out, float value) override;
  void do_copy(const Stream&, const Tensor& out, const Tensor& in) override;

  // Embedding
  void do_embedding_forward(const Stream&, const Tensor& out, const Tensor& weight, const Tensor& tokens) override;
  void do_embedding_backward(const Stream&, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                             const Tensor& tokens) override;
  int64_t embedding_backward_scratch(int64_t, int64_t) const override { return 0; }

  // RMSNorm
  void do_rmsnorm_forward(const Stream&, const Tensor& out, const Tensor& rstd, const Tensor& x, const Tensor& weight,
                          double epsilon) override;
  void do_rmsnorm_residual_forward(const Stream&, const Tensor& sum, const Tensor& out, const Tensor& rstd,
                                   const Tensor& residual, const Tensor& x, const Tensor& weight,
                                   double epsilon) override;
  void do_rmsnorm_backward(const Stream&, const Tensor& dx, const Tensor& dweight, const Tensor& scratch,
                           const Tensor& dout, const Tensor& x, const Tensor& weight, const Tensor& rstd) override;
  int64_t rmsnorm_backward_scratch(int64_t tokens, int64_t hidden_size) const override;

  // Linear layer
  void do_linear_forward(const Stream&, const Tensor& out, const Tensor& scratch, const Tensor& x,
                         const Tensor& weight) override;
  void do_linear_backward_input(const Stream&, const Tensor& dx, const Tensor& scratch, const Tensor& dout,
                                const Tensor& weight) override;
  void do_linear_backward_weight(const Stream&, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                                 const Tensor& x) override;
  int64_t linear_scratch() const override { return 0; }

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
  int64_t attention_forward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const override;
  void do_attention_backward(const Stream&, const Tensor& dq, const Tensor& dk, const Tensor& dv, const Tensor& scratch,
                             const Tensor& dout, const Tensor& out, const Tensor& lse, const Tensor& q, const Tensor& k,
                             const Tensor& v, const AttentionMask& mask) override;
  int64_t attention_backward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const override;

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
  int64_t attention_decode_scratch(const Shape& cache, int64_t heads) const override;

  // Lighthouse Attention
  void do_lighthouse_norm_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& q, const Tensor& k,
                                 const LighthouseShape& shape) override;
  void do_lighthouse_dilated_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& scratch,
                                    const Tensor& q, const Tensor& k, const Tensor& v, int64_t dilation,
                                    const LighthouseShape& shape) override;
  int64_t lighthouse_dilated_scores_scratch(const Shape& q, int64_t kv_heads, int64_t dilation,
                                            const LighthouseShape& shape) const override;
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
  int64_t reduction_scratch(int64_t numel) const override;
  void do_plan_update(const Stream&, const Tensor& scalars, const Tensor& step, double learning_rate, double max_norm,
                      const AdamSettings& settings) override;
  void do_adamw(const Stream&, const Tensor& weight, const Tensor& working, const Tensor& m, const Tensor& v,
                const Tensor& gradient, const Tensor& scalars, const AdamSettings& settings) override;
};

}  // namespace lighthouse::cpu
