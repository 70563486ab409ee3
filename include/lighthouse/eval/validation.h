// Validation loss: the loss on held-out text.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "lighthouse/data/batch.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/model/llama.h"

namespace lighthouse {

/// Receives the losses of one window by position, [N], in nats.
using WindowLosses = std::function<void(std::span<const float> losses)>;

/// Calls `visit` for each of `windows` windows (or all, if the source has fewer), evenly spaced over the source and the
/// same at every call. Returns their number. `inputs` and `targets`, int32 [B, N], are the batch memory of `model`.
int64_t evaluate_windows(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                         const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend,
                         const WindowLosses& visit);

/// The summed loss, in nats, of each of the windows [first, last) that evaluate_windows() visits.
std::vector<double> window_losses(Llama& model, const Parameters& weights, const WindowedSource& source,
                                  int64_t windows, int64_t first, int64_t last, const Tensor& inputs,
                                  const Tensor& targets, BatchFeed& feed, Backend& backend);

/// Mean loss in nats per token over the windows of evaluate_windows().
double validation_loss(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                       const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend);

}  // namespace lighthouse
