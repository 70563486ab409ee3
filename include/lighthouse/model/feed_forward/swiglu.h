// SwiGLU (Shazeer, 2020): down_proj(silu(gate_proj(x)) * up_proj(x)).
#pragma once

#include "lighthouse/model/feed_forward/feed_forward.h"

namespace lighthouse {

/// Uses gate_up [2F, C] and down_proj [C, F] of a layer's parameters.
class SwigluFeedForward final : public FeedForward {
 public:
  SwigluFeedForward(const FeedForwardSettings& settings, const Linear& linear, Backend& backend);

  void lay_out_kept(Arena& arena) override;
  void lay_out_scratch(Arena& arena) override;
  void forward(const Stream& stream, const Tensor& out, const Tensor& normed, const LayerParameters& weights) override;
  void backward(const Stream& stream, const Tensor& d_normed, const Tensor& dout, const Tensor& normed,
                const LayerParameters& weights, const LayerParameters& gradients) override;
  void lay_out_decoding(Arena& arena) override;
  void decode(const Stream& stream, const Tensor& residual, const Tensor& norm, double epsilon,
              const LayerParameters& weights) override;

 private:
  Tensor gate_up_of(int64_t begin, int64_t end) const;

  FeedForwardSettings settings_;
  int64_t chunk_;  // tokens
  const Linear& linear_;
  Backend& backend_;
  Tensor gate_up_;    // [T, 2F] if kept for backward, else scratch [chunk, 2F]
  Tensor activated_;  // scratch, as are the following: [chunk, F]
  Tensor d_activated_, d_gate_up_;
};

}  // namespace lighthouse
