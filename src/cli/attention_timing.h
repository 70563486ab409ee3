// Attention alone, timed: what a layer is measured by.
#pragma once

#include <algorithm>

#include "lighthouse/model/attention/attention.h"

namespace lighthouse {

struct AttentionSeconds {
  double forward = 0;
  double both = 0;  // forward, then backward

  double backward() const { return std::max(both - forward, 1e-9); }  // noise, where both are tiny
};

/// The backend's causal attention on random q, k, v of this shape, without RoPE, in a window of `window` keys unless it
/// is 0: the best of `repeats`.
AttentionSeconds time_attention(Backend& backend, const AttentionShape& shape, int64_t repeats, int64_t window = 0);

}  // namespace lighthouse
