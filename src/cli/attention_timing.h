// Attention alone, timed: what a layer is measured by.
#pragma once

#include "lighthouse/model/attention/attention.h"

namespace lighthouse {

struct AttentionSeconds {
  double forward = 0;
  double both = 0;  // forward, then backward

  double backward() const { return both - forward; }
};

/// The backend's causal attention on random q, k, v of this shape, without RoPE: the best of `repeats`.
AttentionSeconds time_attention(Backend& backend, const AttentionShape& shape, int64_t repeats);

}  // namespace lighthouse
