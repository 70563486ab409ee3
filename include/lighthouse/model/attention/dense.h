// Causal softmax attention over the whole sequence.
#pragma once

#include "lighthouse/model/attention/attention.h"

namespace lighthouse {

class DenseAttention final : public Attention {
 public:
  DenseAttention(const AttentionShape& shape, const RopeTable& rope, Backend& backend,
                 const Documents* documents = nullptr);

  bool keeps_full_length() const override { return true; }
  void lay_out_kept(Arena& arena) override;
  void lay_out_scratch(Arena& arena) override;
  void forward(const Stream& stream, const Tensor& out, const Tensor& qkv) override;
  void restore_output(const Stream& stream, const Tensor& out) override;
  void backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                const Tensor& qkv) override;

 private:
  Documents documents() const { return documents_ == nullptr ? Documents() : *documents_; }

  AttentionShape shape_;
  const RopeTable& rope_;
  Backend& backend_;
  const Documents* documents_;  // null: one a sequence
  Tensor lse_;                  // kept, [B, H, N]
  Tensor scratch_;              // bytes
};

}  // namespace lighthouse
