// Causal attention, shared by attention_forward and the dilated scorer.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lighthouse/core/tensor.h"

namespace lighthouse::cpu {

/// out [B, N, H, D] and lse [B, H, N] of causal softmax attention with scale 1 / sqrt(D). q, k and v are
/// [B, N, X, D]; X divides H and may differ among them: query head h uses head h / (H / X). `starts` and `window` are
/// as in AttentionMask.
void causal_attention(const Tensor& out, const Tensor& lse, const Tensor& scratch, const Tensor& q, const Tensor& k,
                      const Tensor& v, const Tensor& starts = Tensor(), int64_t window = 0);
int64_t causal_attention_scratch(int64_t head_dim);

/// Throws std::logic_error unless `starts` [B, N] is empty or holds for each position the start of a document that
/// contains it. On a GPU the host does not know these values.
void check_starts(const char* operation, const Tensor& starts);

/// The first key that each query of one sequence sees.
struct FirstKeys {
  const int32_t* starts = nullptr;  // [N], where each query's document starts; null: all start at 0
  int64_t window = 0;               // 0: none

  int64_t operator[](int64_t query) const {
    const int64_t start = starts == nullptr ? 0 : starts[query];
    return window > 0 ? std::max(start, query - window + 1) : start;
  }
};

/// The largest side of a tile with a window of this width: about half the window, so that about two thirds of the
/// computed scores are inside the window.
inline int64_t window_tile(int64_t window) {
  constexpr int64_t kLeast = 32, kMost = 256, kStep = 16;
  return std::clamp((window / 2 + kStep - 1) / kStep * kStep, kLeast, kMost);
}

}  // namespace lighthouse::cpu
