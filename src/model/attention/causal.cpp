#include "lighthouse/model/attention/causal.h"

#include <algorithm>

namespace lighthouse {

CausalAttention::CausalAttention(const AttentionShape& shape, const RopeTable& rope, Backend& backend, int64_t window,
                                 const Documents* documents)
    : shape_(shape), rope_(rope), backend_(backend), window_(window), documents_(documents) {}

void CausalAttention::lay_out_kept(Arena& arena) {
  lse_ = arena.allocate(MemoryUse::kActivations, {shape_.batch, shape_.heads, shape_.sequence_length});
}

void CausalAttention::lay_out_scratch(Arena& arena) {
  const Shape q{shape_.batch, shape_.sequence_length, shape_.heads, shape_.head_dim};
  const bool documents = documents_ != nullptr;
  const int64_t bytes = std::max(backend_.attention_forward_scratch(q, shape_.kv_heads, documents, window_),
                                 backend_.attention_backward_scratch(q, shape_.kv_heads, documents, window_));
  scratch_ = arena.allocate(MemoryUse::kScratch, {bytes}, DType::kUInt8);
}

void CausalAttention::forward(const Stream& stream, const Tensor& out, const Tensor& qkv) {
  const QkvViews in(qkv, shape_);
  backend_.rope_forward(stream, in.qk, rope_.cos, rope_.sin);
  backend_.attention_forward(stream, out, lse_, scratch_, in.q, in.k, in.v, mask());
}

void CausalAttention::backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                               const Tensor& qkv) {
  const QkvViews in(qkv, shape_);
  const QkvViews d(dqkv, shape_);
  backend_.attention_backward(stream, d.q, d.k, d.v, scratch_, dout, out, lse_, in.q, in.k, in.v, mask());
  backend_.rope_backward(stream, d.qk, rope_.cos, rope_.sin);
}

}  // namespace lighthouse
