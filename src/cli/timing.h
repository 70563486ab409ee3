// Timing of work on a backend.
#pragma once

#include <cstdint>
#include <functional>

#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// The time of the fastest of `repeats` runs, after one warm-up run. On a shared machine the fastest run is the least
/// disturbed.
double best_seconds(int64_t repeats, const std::function<void()>& work);

/// Times `work`, which enqueues operations on the backend's compute stream. Returns the best of `repeats` measurements,
/// each of enough runs to make launch and synchronisation negligible. Launches a recorded graph if the device can
/// record, so that host time does not count.
double seconds_on(Backend& backend, int64_t repeats, const std::function<void()>& work);

/// Fills a tensor with standard normal numbers that depend only on `name`. In a large tensor the numbers repeat.
void fill_random(Backend& backend, const Tensor& tensor, const char* name);

/// The rate in FLOP/s of the backend's product of two square matrices.
double product_flops(Backend& backend, int64_t size);

}  // namespace lighthouse
