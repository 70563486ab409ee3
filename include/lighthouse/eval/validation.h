// The loss on text that was not trained on.
#pragma once

#include <cstdint>

#include "lighthouse/data/batch.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/model/llama.h"

namespace lighthouse {

/// Mean loss in nats per token over `windows` windows spread evenly over the source, the same ones at every call (all
/// of them if there are no more). `inputs` and `targets`, int32 [B, N], are the batch memory of `model`.
double validation_loss(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                       const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend);

}  // namespace lighthouse
