// The operations that generate text: one new token against cached keys and values.
#pragma once

#include <cstdint>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/operation.h"

namespace lighthouse {

/// Operations on one token's activations. The keys and values of the tokens before it are in k_cache and v_cache
/// [M, G, D]; the keys there are rotated. backend.h has the rules that hold for all operations.
class DecodeOperations : public virtual OperationSet {
 public:
  /// out [1, O] = RMSNorm(x [1, C]) weight [O, C]^T, with the norm's weight `norm` [C]; rounded where rmsnorm_forward
  /// and linear_forward round.
  void token_norm_linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                         const Tensor& weight);
  /// out [1, F] = SwiGLU of RMSNorm(x [1, C]) gate_up [2F, C]^T.
  void token_norm_swiglu(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                         const Tensor& gate_up);
  /// sum [1, O] += x [1, I] weight [O, I]^T.
  void token_linear_add(const Stream& stream, const Tensor& sum, const Tensor& x, const Tensor& weight);

  /// Rows [0, N) of cache [M, G, D] = x [N, G, D], which may be a view of a fused qkv.
  void cache_rows(const Stream& stream, const Tensor& cache, const Tensor& x);
  /// out [H, D] of the token at `position` (int32 [1] in device memory, below M). The token sees the keys up to itself,
  /// or the last `window` of them if `window` is not 0. Its fused qkv [H + 2 G, D] is not rotated and is not changed;
  /// cos, sin [M, D/2] are from rope_table. Its rotated k and its v become row `position` of the caches. The position
  /// and the caches may be read while the operations of this interface enqueued just before still run: these must not
  /// write them.
  void attention_decode(const Stream& stream, const Tensor& out, const Tensor& k_cache, const Tensor& v_cache,
                        const Tensor& scratch, const Tensor& qkv, const Tensor& cos, const Tensor& sin,
                        const Tensor& position, int64_t window = 0);
  virtual int64_t attention_decode_scratch(const Shape& cache, int64_t heads) const = 0;

 protected:
  ~DecodeOperations() = default;

 private:
  // A device's version of each operation above. The arguments, in the same order, have been checked.
  virtual void do_token_norm_linear(const Stream&, const Tensor&, const Tensor&, const Tensor&, double, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_token_norm_swiglu(const Stream&, const Tensor&, const Tensor&, const Tensor&, double, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_token_linear_add(const Stream&, const Tensor&, const Tensor&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_cache_rows(const Stream&, const Tensor&, const Tensor&) { not_implemented(__func__); }
  virtual void do_attention_decode(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                   const Tensor&, const Tensor&, const Tensor&, const Tensor&, int64_t) {
    not_implemented(__func__);
  }
};

}  // namespace lighthouse
