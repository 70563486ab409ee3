#include "lighthouse/model/attention/lighthouse.h"

#include <algorithm>

namespace lighthouse {

LighthouseAttention::LighthouseAttention(const LighthouseSettings& settings, const AttentionShape& shape,
                                         const RopeTable& rope, Backend& backend, int64_t window)
    : settings_(settings),
      full_(shape),
      gathered_(shape),
      pyramid_(settings.shape(shape.sequence_length)),
      rope_(rope),
      backend_(backend),
      window_(window) {
  pyramid_.check();
  gathered_.sequence_length = pyramid_.gathered();
}

void LighthouseAttention::lay_out_kept(Arena& arena) {
  const int64_t b = full_.batch;
  const int64_t s = gathered_.sequence_length;
  selection_.indices = arena.allocate(MemoryUse::kActivations, {b, full_.kv_heads, s}, DType::kInt32);
  gathered_qkv_ = arena.allocate(MemoryUse::kActivations, {b, s, full_.qkv_size()}, backend_.dtype());
  gathered_out_ = arena.allocate(MemoryUse::kActivations, {b, s, full_.heads, full_.head_dim}, backend_.dtype());
  lse_ = arena.allocate(MemoryUse::kActivations, {b, full_.heads, s});
  if (window_ > 0) window_lse_ = arena.allocate(MemoryUse::kActivations, {b, full_.heads, full_.sequence_length});
}

void LighthouseAttention::lay_out_recomputed(Arena& arena) {
  if (window_ == 0) return;
  const Shape out{full_.batch, full_.sequence_length, full_.heads, full_.head_dim};
  window_out_ = arena.allocate(MemoryUse::kActivations, out, backend_.dtype());
}

void LighthouseAttention::lay_out_scratch(Arena& arena) {
  const int64_t b = full_.batch;
  const int64_t g = full_.kv_heads;
  const Shape full_q{b, full_.sequence_length, full_.heads, full_.head_dim};
  const Shape gathered_q{b, gathered_.sequence_length, full_.heads, full_.head_dim};
  s_q_ = arena.allocate(MemoryUse::kScratch, {b, g, pyramid_.scored_entries()});
  s_k_ = arena.allocate(MemoryUse::kScratch, {b, g, pyramid_.scored_entries()});
  selection_.rows = arena.allocate(MemoryUse::kScratch, {b, g, pyramid_.all_entries()}, DType::kInt32);
  d_gathered_qkv_ =
      arena.allocate(MemoryUse::kScratch, {b, gathered_.sequence_length, full_.qkv_size()}, backend_.dtype());
  d_gathered_out_ = arena.allocate(MemoryUse::kScratch, gathered_q, backend_.dtype());
  int64_t bytes = std::max(backend_.attention_forward_scratch(gathered_q, g, false, 0),
                           backend_.attention_backward_scratch(gathered_q, g, false, 0));
  if (window_ > 0) {
    bytes = std::max({bytes, backend_.attention_forward_scratch(full_q, g, false, window_),
                      backend_.attention_backward_scratch(full_q, g, false, window_)});
  }
  if (settings_.scorer == Scorer::kDilated) {
    bytes = std::max(bytes, backend_.lighthouse_dilated_scores_scratch(full_q, g, settings_.dilation, pyramid_));
  }
  scratch_ = arena.allocate(MemoryUse::kScratch, {bytes}, DType::kUInt8);
}

Tensor LighthouseAttention::fused(const Tensor& qkv) const {
  return qkv.split(2, full_.heads + 2 * full_.kv_heads, full_.head_dim);
}

void LighthouseAttention::forward(const Stream& stream, const Tensor& out, const Tensor& qkv) {
  select(stream, qkv);
  attend_selected(stream, out, qkv);
}

void LighthouseAttention::select(const Stream& stream, const Tensor& qkv) {
  const QkvViews in(qkv, full_);
  if (settings_.scorer == Scorer::kNorm) {
    backend_.lighthouse_norm_scores(stream, s_q_, s_k_, in.q, in.k, pyramid_);
  }
  if (rotates_in_place()) backend_.rope_forward(stream, in.qk, rope_.cos, rope_.sin);
  if (settings_.scorer == Scorer::kDilated) {
    backend_.lighthouse_dilated_scores(stream, s_q_, s_k_, scratch_, in.q, in.k, in.v, settings_.dilation, pyramid_);
  }
  backend_.lighthouse_select(stream, selection_, s_q_, s_k_, pyramid_);
}

void LighthouseAttention::attend(const Stream& stream, const Tensor& out, const Tensor& qkv) {
  backend_.lighthouse_invert(stream, selection_, pyramid_);
  attend_selected(stream, out, qkv);
}

void LighthouseAttention::attend_selected(const Stream& stream, const Tensor& out, const Tensor& qkv) {
  const RopeTable none, &angles = rotates_in_place() ? none : rope_;
  const QkvViews rows(gathered_qkv_, gathered_);
  backend_.lighthouse_gather(stream, fused(gathered_qkv_), fused(qkv), selection_, angles.cos, angles.sin, pyramid_);
  backend_.attention_forward(stream, gathered_out_, lse_, scratch_, rows.q, rows.k, rows.v);
  if (window_ > 0) attend_in_window(stream, qkv);
  backend_.lighthouse_scatter(stream, out, gathered_out_, selection_, pyramid_, window_out_);
}

void LighthouseAttention::attend_in_window(const Stream& stream, const Tensor& qkv) {
  const QkvViews in(qkv, full_);
  backend_.attention_forward(stream, window_out_, window_lse_, scratch_, in.q, in.k, in.v, {window_, {}});
}

void LighthouseAttention::recompute(const Stream& stream, const Tensor& out, const Tensor& qkv) {
  backend_.rope_forward(stream, QkvViews(qkv, full_).qk, rope_.cos, rope_.sin);
  attend_in_window(stream, qkv);
  restore_output(stream, out);
}

void LighthouseAttention::restore_output(const Stream& stream, const Tensor& out) {
  backend_.lighthouse_invert(stream, selection_, pyramid_);
  backend_.lighthouse_scatter(stream, out, gathered_out_, selection_, pyramid_, window_out_);
}

void LighthouseAttention::backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor&,
                                   const Tensor& qkv) {
  const QkvViews rows(gathered_qkv_, gathered_);
  const QkvViews d_rows(d_gathered_qkv_, gathered_);
  backend_.lighthouse_invert(stream, selection_, pyramid_);
  backend_.lighthouse_scatter_backward(stream, d_gathered_out_, dout, selection_, pyramid_);
  backend_.attention_backward(stream, d_rows.q, d_rows.k, d_rows.v, scratch_, d_gathered_out_, gathered_out_, lse_,
                              rows.q, rows.k, rows.v);
  if (window_ > 0) {
    const QkvViews in(qkv, full_), d(dqkv, full_);
    backend_.attention_backward(stream, d.q, d.k, d.v, scratch_, dout, window_out_, window_lse_, in.q, in.k, in.v,
                                {window_, {}});
  }
  // Both branches take the whole dout; gather_backward applies the factor 1/2 of the mean as it adds them.
  backend_.lighthouse_gather_backward(stream, fused(dqkv), fused(d_gathered_qkv_), selection_, rope_.cos, rope_.sin,
                                      pyramid_, window_ > 0 ? fused(dqkv) : Tensor());
}

}  // namespace lighthouse
