// The loss on text that was not trained on.
#pragma once

#include <cstdint>
#include <functional>

#include "lighthouse/data/loader.h"
#include "lighthouse/model/llama.h"

namespace lighthouse {

/// Mean loss in nats per token over `windows` windows spread evenly over the source, the same ones at every call (all
/// of them if there are no more). `inputs` and `targets`, int32 [B, N], are the batch memory of `model`.
double validation_loss(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                       const Tensor& inputs, const Tensor& targets);

/// Writes windows of N+1 tokens as inputs (all but the last) and targets (all but the first), int32 [B, N] in host
/// memory. Rows beyond the windows given are filled with token 0 and targets of -1, which have no loss.
void split_windows(std::span<const int32_t> windows, const Tensor& inputs, const Tensor& targets);

}  // namespace lighthouse
