// Lighthouse Attention: ordinary attention on a small, hierarchically selected subsequence
// (docs/lighthouse-attention.md).
#pragma once

#include "lighthouse/model/attention/attention.h"

namespace lighthouse {

/// Keeps for backward only tensors of the gathered length S: 4 S D a head instead of 4 N D.
class LighthouseAttention final : public Attention {
 public:
  LighthouseAttention(const LighthouseSettings& settings, const AttentionShape& shape, const RopeTable& rope,
                      Backend& backend);

  bool keeps_full_length() const override { return false; }
  void lay_out_kept(Arena& arena) override;
  void lay_out_scratch(Arena& arena) override;
  /// select(), then attend().
  void forward(const Stream& stream, const Tensor& out, const Tensor& qkv) override;
  void restore_output(const Stream& stream, const Tensor& out) override;
  void backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                const Tensor& qkv) override;

  /// Chooses the entries (steps i and ii of the spec). No gradient flows through this. The scorer `dilated` needs q and
  /// k rotated, and rotates qkv in place; otherwise attend() rotates on the way.
  void select(const Stream& stream, const Tensor& qkv);
  /// Gathers, attends, scatters (iii and iv), from qkv as select() left it, with the entries in indices().
  void attend(const Stream& stream, const Tensor& out, const Tensor& qkv);
  /// int32 [B, G, S]: the gathered entries in causal order. select() writes it; a caller may, to hold a selection
  /// fixed.
  const Tensor& indices() const { return selection_.indices; }

 private:
  void attend_selected(const Stream& stream, const Tensor& out, const Tensor& qkv);
  Tensor fused(const Tensor& qkv) const;

  LighthouseSettings settings_;
  AttentionShape full_;      // N positions
  AttentionShape gathered_;  // S rows
  LighthouseShape pyramid_;
  const RopeTable& rope_;
  Backend& backend_;
  LighthouseSelection selection_;  // the indices are kept for backward, the rows are scratch
  // Kept for backward.
  Tensor gathered_qkv_;  // [B, S, (H + 2 G) D]
  Tensor gathered_out_;  // [B, S, H, D]
  Tensor lse_;           // [B, H, S]
  // Scratch.
  Tensor s_q_, s_k_;  // [B, G, E']
  Tensor d_gathered_qkv_;
  Tensor d_gathered_out_;
  Tensor scratch_;  // bytes
};

}  // namespace lighthouse
