// Causal attention, as attention_forward and the dilated scorer share it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lighthouse/core/tensor.h"

namespace lighthouse::cpu {

/// out [B, N, H, D] and lse [B, H, N] of causal softmax attention with scale 1 / sqrt(D). q, k and v are
/// [B, N, X, D] with any X that divides H, each its own: query head h uses head h / (H / X). `starts` and `window` as
/// in AttentionMask.
void causal_attention(const Tensor& out, const Tensor& lse, const Tensor& scratch, const Tensor& q, const Tensor& k,
                      const Tensor& v, const Tensor& starts = Tensor(), int64_t window = 0);
int64_t causal_attention_scratch(int64_t head_dim);

/// Whether `starts` [B, N] is not given, or holds for each position of q the start of the document that it belongs to.
bool are_starts_of(const Tensor& q, const Tensor& starts);

/// The first key that each query of one sequence sees.
struct FirstKeys {
  const int32_t* starts = nullptr;  // [N], where each query's document starts; null: all start at 0
  int64_t window = 0;               // 0: none

  int64_t operator[](int64_t query) const {
    const int64_t start = starts == nullptr ? 0 : starts[query];
    return window > 0 ? std::max(start, query - window + 1) : start;
  }
};

/// The largest side of a tile of queries or keys that a window of this width is cut into: about half the window, so
/// that two thirds of the scores in the tiles that a query's window touches belong to the window.
inline int64_t window_tile(int64_t window) {
  constexpr int64_t kLeast = 32, kMost = 256, kStep = 16;
  return std::clamp((window / 2 + kStep - 1) / kStep * kStep, kLeast, kMost);
}

}  // namespace lighthouse::cpu
