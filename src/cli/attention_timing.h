// Timing of the attention operation alone.
#pragma once

#include <algorithm>

#include "lighthouse/model/attention/attention.h"

namespace lighthouse {

struct AttentionSeconds {
  double forward = 0;
  double both = 0;  // forward, then backward

  double backward() const {
    return std::max(both - forward, 1e-9);
  }  // at least 1e-9, because noise can make tiny times negative
};

/// Times the backend's causal attention on random q, k, v of this shape, without RoPE; `window` keys wide, or over the
/// whole sequence if 0. Returns the best of `repeats` measurements.
AttentionSeconds time_attention(Backend& backend, const AttentionShape& shape, int64_t repeats, int64_t window = 0);

}  // namespace lighthouse
