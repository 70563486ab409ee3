// Lighthouse Attention: ordinary attention on a small, hierarchically selected subsequence, and beside it, if asked
// for, attention in a local window; the layer's output is the mean of both (docs/lighthouse-attention.md).
#pragma once

#include "lighthouse/model/attention/attention.h"

namespace lighthouse {

/// Without a window, keeps for backward only tensors of the gathered length S: 4 S D a head instead of 4 N D. With a
/// window also q, k, v and the window's output, of length N.
class LighthouseAttention final : public Attention {
 public:
  /// `window`: the width of the window beside; 0: none.
  LighthouseAttention(const LighthouseSettings& settings, const AttentionShape& shape, const RopeTable& rope,
                      Backend& backend, int64_t window = 0);

  bool keeps_qkv() const override { return window_ > 0; }
  bool keeps_output() const override { return false; }
  void lay_out_kept(Arena& arena) override;
  void lay_out_recomputed(Arena& arena) override;
  void lay_out_scratch(Arena& arena) override;
  /// As select() and attend().
  void forward(const Stream& stream, const Tensor& out, const Tensor& qkv) override;
  /// The window branch runs again; of the other branch the output is kept.
  void recompute(const Stream& stream, const Tensor& out, const Tensor& qkv) override;
  void restore_output(const Stream& stream, const Tensor& out) override;
  void backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                const Tensor& qkv) override;

  /// Chooses the entries (steps i and ii of the specification). No gradient flows through this. Where there is a
  /// window, and for the scorer `dilated`, qkv is rotated in place; otherwise attend() rotates while it gathers.
  void select(const Stream& stream, const Tensor& qkv);
  /// Gathers, attends, scatters (iii and iv), from qkv as select() left it, with the entries in indices().
  void attend(const Stream& stream, const Tensor& out, const Tensor& qkv);
  /// int32 [B, G, S]: the gathered entries in causal order. select() writes it; a caller may, to hold a selection
  /// fixed.
  const Tensor& indices() const { return selection_.indices; }

 private:
  /// Whether select() leaves q and k rotated.
  bool rotates_in_place() const { return window_ > 0 || settings_.scorer == Scorer::kDilated; }
  void attend_selected(const Stream& stream, const Tensor& out, const Tensor& qkv);
  void attend_in_window(const Stream& stream, const Tensor& qkv);
  Tensor fused(const Tensor& qkv) const;

  LighthouseSettings settings_;
  AttentionShape full_;      // N positions
  AttentionShape gathered_;  // S rows
  LighthouseShape pyramid_;
  const RopeTable& rope_;
  Backend& backend_;
  int64_t window_;
  LighthouseSelection selection_;  // the indices are kept for backward, the rows are scratch
  // Kept for backward.
  Tensor gathered_qkv_;  // [B, S, (H + 2 G) D]
  Tensor gathered_out_;  // [B, S, H, D]
  Tensor lse_;           // [B, H, S]
  Tensor window_lse_;    // [B, H, N]
  Tensor window_out_;    // [B, N, H, D], which recompute() makes again; without a window no tensor
  // Scratch.
  Tensor s_q_, s_k_;  // [B, G, E']
  Tensor d_gathered_qkv_;
  Tensor d_gathered_out_;
  Tensor scratch_;  // bytes
};

}  // namespace lighthouse
