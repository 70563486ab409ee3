// From windows of tokens to what a model is given.
#pragma once

#include <cstdint>
#include <span>

#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// Writes windows of N+1 tokens as inputs (all but the last) and targets (all but the first), int32 [B, N] in host
/// memory. Rows beyond the windows given are filled with token 0 and targets of -1, which have no loss.
void split_windows(std::span<const int32_t> windows, const Tensor& inputs, const Tensor& targets);

}  // namespace lighthouse
