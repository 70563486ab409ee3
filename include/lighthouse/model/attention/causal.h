// Causal softmax attention over the whole sequence (dense), or in a sliding window.
#pragma once

#include "lighthouse/model/attention/attention.h"

namespace lighthouse {

class CausalAttention final : public Attention {
 public:
  /// `window`: the number of keys that a query sees, its own included; 0: all up to its own.
  CausalAttention(const AttentionShape& shape, const RopeTable& rope, Backend& backend, int64_t window = 0,
                  const Documents* documents = nullptr);

  bool keeps_qkv() const override { return true; }
  bool keeps_output() const override { return true; }
  void lay_out_kept(Arena& arena) override;
  void lay_out_recomputed(Arena&) override {}
  void lay_out_scratch(Arena& arena) override;
  void forward(const Stream& stream, const Tensor& out, const Tensor& qkv) override;
  void recompute(const Stream& stream, const Tensor& out, const Tensor& qkv) override { forward(stream, out, qkv); }
  void restore_output(const Stream&, const Tensor&) override {}
  void backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                const Tensor& qkv) override;

 private:
  AttentionMask mask() const { return {window_, documents_ == nullptr ? Documents() : *documents_}; }

  AttentionShape shape_;
  const RopeTable& rope_;
  Backend& backend_;
  int64_t window_;
  const Documents* documents_;  // null: one document for each sequence
  Tensor lse_;                  // kept, [B, H, N]
  Tensor scratch_;              // bytes
};

}  // namespace lighthouse
