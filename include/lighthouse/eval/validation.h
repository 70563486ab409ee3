// The loss on text that was not trained on.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "lighthouse/data/batch.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/model/llama.h"

namespace lighthouse {

/// Is given the losses of one window [N], by position, in nats.
using WindowLosses = std::function<void(std::span<const float> losses)>;

/// Calls `visit` for each of `windows` windows spread evenly over the source, the same ones at every call (all of them
/// if there are no more), and returns how many there were. `inputs` and `targets`, int32 [B, N], are the batch memory
/// of `model`.
int64_t evaluate_windows(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                         const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend,
                         const WindowLosses& visit);

/// The summed loss of each of the windows [first, last) of those, in nats.
std::vector<double> window_losses(Llama& model, const Parameters& weights, const WindowedSource& source,
                                  int64_t windows, int64_t first, int64_t last, const Tensor& inputs,
                                  const Tensor& targets, BatchFeed& feed, Backend& backend);

/// Mean loss in nats per token over the windows of evaluate_windows().
double validation_loss(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                       const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend);

}  // namespace lighthouse
