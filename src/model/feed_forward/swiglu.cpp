#include "lighthouse/model/feed_forward/swiglu.h"

#include "../token_chunks.h"

namespace lighthouse {
namespace {

/// Tokens of a chunk: enough for products to be fast, few enough for a sequence of a million.
constexpr int64_t kChunkTokens = 65536;

}  // namespace

SwigluFeedForward::SwigluFeedForward(const FeedForwardSettings& settings, const Linear& linear, Backend& backend)
    : settings_(settings),
      chunk_(tokens_per_chunk(settings.tokens, kChunkTokens)),
      linear_(linear),
      backend_(backend) {}

void SwigluFeedForward::lay_out_kept(Arena& arena) {
  if (!settings_.keep_inner) return;
  const Shape both{settings_.tokens, 2 * settings_.intermediate_size};
  gate_up_ = arena.allocate(MemoryUse::kActivations, both, backend_.dtype());
}

void SwigluFeedForward::lay_out_scratch(Arena& arena) {
  const auto scratch = [&](int64_t width) {
    return arena.allocate(MemoryUse::kScratch, {chunk_, width}, backend_.dtype());
  };
  const int64_t f = settings_.intermediate_size;
  if (!settings_.keep_inner) gate_up_ = scratch(2 * f);
  activated_ = scratch(f);
  if (!settings_.backward) return;
  d_activated_ = scratch(f);
  d_gate_up_ = scratch(2 * f);
}

Tensor SwigluFeedForward::gate_up_of(int64_t begin, int64_t end) const {
  return settings_.keep_inner ? gate_up_.slice(0, begin, end) : gate_up_.slice(0, 0, end - begin);
}

void SwigluFeedForward::forward(const Stream& stream, const Tensor& out, const Tensor& normed,
                                const LayerParameters& weights) {
  for_each_chunk(settings_.tokens, chunk_, [&](int64_t begin, int64_t end) {
    const Tensor gate_up = gate_up_of(begin, end), activated = activated_.slice(0, 0, end - begin);
    linear_.forward(stream, gate_up, normed.slice(0, begin, end), weights.gate_up);
    backend_.swiglu_forward(stream, activated, gate_up);
    linear_.forward(stream, out.slice(0, begin, end), activated, weights.down_proj);
  });
}

void SwigluFeedForward::backward(const Stream& stream, const Tensor& d_normed, const Tensor& dout, const Tensor& normed,
                                 const LayerParameters& weights, const LayerParameters& gradients) {
  for_each_chunk(settings_.tokens, chunk_, [&](int64_t begin, int64_t end) {
    const Tensor gate_up = gate_up_of(begin, end), d_gate_up = d_gate_up_.slice(0, 0, end - begin);
    const Tensor activated = activated_.slice(0, 0, end - begin), d_activated = d_activated_.slice(0, 0, end - begin);
    const Tensor x = normed.slice(0, begin, end), d_out = dout.slice(0, begin, end);
    if (!settings_.keep_inner) linear_.forward(stream, gate_up, x, weights.gate_up);
    linear_.backward_input(stream, d_activated, d_out, weights.down_proj);
    backend_.swiglu_backward(stream, d_gate_up, activated, d_activated, gate_up);
    linear_.backward_weight(stream, gradients.down_proj, d_out, activated);
    linear_.backward(stream, d_normed.slice(0, begin, end), gradients.gate_up, d_gate_up, x, weights.gate_up);
  });
}

void SwigluFeedForward::lay_out_decoding(Arena& arena) {
  activated_ = arena.allocate(MemoryUse::kScratch, {1, settings_.intermediate_size}, backend_.dtype());
}

void SwigluFeedForward::decode(const Stream& stream, const Tensor& residual, const Tensor& norm, double epsilon,
                               const LayerParameters& weights) {
  backend_.token_norm_swiglu(stream, activated_, residual, norm, epsilon, weights.gate_up);
  backend_.token_linear_add(stream, residual, activated_, weights.down_proj);
}

}  // namespace lighthouse
