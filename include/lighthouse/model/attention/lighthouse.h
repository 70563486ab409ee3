// Lighthouse Attention: softmax attention on a small, hierarchically selected subsequence. With a window, the output is
// the mean of that and of attention in a sliding window (docs/lighthouse-attention.md).
#pragma once

#include "lighthouse/model/attention/attention.h"

namespace lighthouse {

/// Without a window, backward keeps tensors of the gathered length S only: 4 S D elements for each head instead of
/// 4 N D. With a window it keeps q, k, v and the window's output, of length N, too.
class LighthouseAttention final : public Attention {
 public:
  /// `window`: the width of the sliding window; 0: none.
  LighthouseAttention(const LighthouseSettings& settings, const AttentionShape& shape, const RopeTable& rope,
                      Backend& backend, int64_t window = 0);

  bool keeps_qkv() const override { return window_ > 0; }
  bool keeps_output() const override { return false; }
  void lay_out_kept(Arena& arena) override;
  void lay_out_recomputed(Arena& arena) override;
  void lay_out_scratch(Arena& arena) override;
  /// select(), then attend().
  void forward(const Stream& stream, const Tensor& out, const Tensor& qkv) override;
  /// Runs the window branch again; the output of the selected branch is kept.
  void recompute(const Stream& stream, const Tensor& out, const Tensor& qkv) override;
  void restore_output(const Stream& stream, const Tensor& out) override;
  void backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                const Tensor& qkv) override;

  /// Selects the entries (steps i and ii of the specification). No gradient flows through the selection. With a window,
  /// and for the scorer `dilated`, applies RoPE to qkv in place; otherwise attend() applies it as it gathers.
  void select(const Stream& stream, const Tensor& qkv);
  /// Gathers, attends and scatters (iii and iv) the entries in indices(), from qkv as select() left it.
  void attend(const Stream& stream, const Tensor& out, const Tensor& qkv);
  /// int32 [B, G, S]: the gathered entries in causal order. select() writes it; a test may write it to fix a selection.
  const Tensor& indices() const { return selection_.indices; }

 private:
  /// Whether select() applies RoPE to q and k in place.
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
  LighthouseSelection selection_;  // indices are kept for backward, rows are scratch
  // Kept for backward.
  Tensor gathered_qkv_;  // [B, S, (H + 2 G) D]
  Tensor gathered_out_;  // [B, S, H, D]
  Tensor lse_;           // [B, H, S]
  Tensor window_lse_;    // [B, H, N]
  Tensor window_out_;    // [B, N, H, D], by forward() or recompute(); undefined without a window
  // Scratch.
  Tensor s_q_, s_k_;  // [B, G, E']
  Tensor d_gathered_qkv_;
  Tensor d_gathered_out_;
  Tensor scratch_;  // bytes
};

}  // namespace lighthouse
