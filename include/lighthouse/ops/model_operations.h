// The operations of a Llama's layers and of its loss, except attention.
#pragma once

#include <cstdint>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/operation.h"
#include "lighthouse/ops/rope.h"

namespace lighthouse {

/// Embedding, RMSNorm, linear layer, SwiGLU, rotary position embedding, cross entropy. backend.h has the rules that
/// hold for all operations.
class ModelOperations : public virtual OperationSet {
 public:
  // ---- Embedding ----

  /// out [T, C] = weight[tokens]; weight [V, C], tokens int32 [T], each in [0, V).
  void embedding_forward(const Stream& stream, const Tensor& out, const Tensor& weight, const Tensor& tokens);
  /// dweight [V, C]: adds each row of dout [T, C] to the row of its token, in the order of the tokens.
  void embedding_backward(const Stream& stream, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                          const Tensor& tokens);
  virtual int64_t embedding_backward_scratch(int64_t tokens, int64_t hidden_size) const = 0;

  // ---- RMSNorm: out = x * rstd * weight with rstd = 1 / sqrt(mean(x^2) + epsilon)  (Zhang and Sennrich, 2019) ----

  /// out [T, C], rstd [T]; x [T, C], weight [C].
  void rmsnorm_forward(const Stream& stream, const Tensor& out, const Tensor& rstd, const Tensor& x,
                       const Tensor& weight, double epsilon);
  /// sum [T, C] = residual + x, then out and rstd as rmsnorm_forward of sum. `sum` may be `residual`.
  void rmsnorm_residual_forward(const Stream& stream, const Tensor& sum, const Tensor& out, const Tensor& rstd,
                                const Tensor& residual, const Tensor& x, const Tensor& weight, double epsilon);
  /// Adds to dx [T, C] and to dweight [C].
  void rmsnorm_backward(const Stream& stream, const Tensor& dx, const Tensor& dweight, const Tensor& scratch,
                        const Tensor& dout, const Tensor& x, const Tensor& weight, const Tensor& rstd);
  virtual int64_t rmsnorm_backward_scratch(int64_t tokens, int64_t hidden_size) const = 0;

  // ---- Linear layer: out = x weight^T. Each of the three takes linear_scratch() bytes. ----

  /// out [T, O] = x [T, I] weight [O, I]^T.
  void linear_forward(const Stream& stream, const Tensor& out, const Tensor& scratch, const Tensor& x,
                      const Tensor& weight);
  /// dx [T, I] = dout [T, O] weight [O, I].
  void linear_backward_input(const Stream& stream, const Tensor& dx, const Tensor& scratch, const Tensor& dout,
                             const Tensor& weight);
  /// dweight [O, I]: adds dout [T, O]^T x [T, I].
  void linear_backward_weight(const Stream& stream, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                              const Tensor& x);
  virtual int64_t linear_scratch() const = 0;

  // ---- SwiGLU: out = silu(gate) * up  (Shazeer, 2020) ----

  /// out [T, F]; gate_up [T, 2F] holds the gates, then the ups.
  void swiglu_forward(const Stream& stream, const Tensor& out, const Tensor& gate_up);
  /// dgate_up [T, 2F] from dout [T, F]. Also recomputes out [T, F], which saves keeping it since the forward pass.
  void swiglu_backward(const Stream& stream, const Tensor& dgate_up, const Tensor& out, const Tensor& dout,
                       const Tensor& gate_up);

  // ---- Rotary position embedding, half-split form (Su et al., 2021; as in Hugging Face's Llama) ----

  /// cos, sin [N, D/2]: of position * scaled_frequency(theta^(-2 i / D)), computed in float64.
  void rope_table(const Stream& stream, const Tensor& cos, const Tensor& sin, const RopeSettings& rope);
  /// Rotates x [B, N, H, D] in place: (a, b) -> (a cos - b sin, b cos + a sin), where a and b are a head's halves.
  void rope_forward(const Stream& stream, const Tensor& x, const Tensor& cos, const Tensor& sin);
  /// Rotates the gradient dx [B, N, H, D] back, in place.
  void rope_backward(const Stream& stream, const Tensor& dx, const Tensor& cos, const Tensor& sin);

  // ---- Loss ----

  /// losses [T] = -log softmax(logits)[target], in nats; logits [T, V'], of which the first `vocab_size` columns count
  /// and the rest is padding; targets int32 [T]. A negative target has loss 0 and no gradient.
  void cross_entropy_forward(const Stream& stream, const Tensor& losses, const Tensor& logits, const Tensor& targets,
                             int64_t vocab_size);
  /// The same, and overwrites logits with their gradient: scale * (softmax - one-hot), 0 in the padding.
  void cross_entropy_forward_backward(const Stream& stream, const Tensor& losses, const Tensor& logits,
                                      const Tensor& targets, int64_t vocab_size, double scale);
  /// Bytes of logits to compute at a time: more make fewer and larger products, and take more memory.
  virtual int64_t logits_bytes() const = 0;

 protected:
  ~ModelOperations() = default;

 private:
  // A device's version of each operation above. The arguments, in the same order, have been checked.
  virtual void do_embedding_forward(const Stream&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_embedding_backward(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_rmsnorm_forward(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, double) {
    not_implemented(__func__);
  }
  virtual void do_rmsnorm_residual_forward(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                           const Tensor&, const Tensor&, double) {
    not_implemented(__func__);
  }
  virtual void do_rmsnorm_backward(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                   const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_linear_forward(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_linear_backward_input(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_linear_backward_weight(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_swiglu_forward(const Stream&, const Tensor&, const Tensor&) { not_implemented(__func__); }
  virtual void do_swiglu_backward(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_rope_table(const Stream&, const Tensor&, const Tensor&, const RopeSettings&) {
    not_implemented(__func__);
  }
  virtual void do_rope_forward(const Stream&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_rope_backward(const Stream&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_cross_entropy_forward(const Stream&, const Tensor&, const Tensor&, const Tensor&, int64_t) {
    not_implemented(__func__);
  }
  virtual void do_cross_entropy_forward_backward(const Stream&, const Tensor&, const Tensor&, const Tensor&, int64_t,
                                                 double) {
    not_implemented(__func__);
  }
};

}  // namespace lighthouse
