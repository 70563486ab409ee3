// How fast this machine is.
#pragma once

#include <cstdint>
#include <functional>

#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// The fastest of `repeats` runs after one that is not counted: on a shared machine the least disturbed.
double best_seconds(int64_t repeats, const std::function<void()>& work);

/// Seconds of `work`, which gives operations to the backend's compute stream: the best of `repeats` measurements, each
/// of as many runs as make it long against what starting and waiting take. Recorded once where that can be, so that the
/// host's part does not count.
double seconds_on(Backend& backend, int64_t repeats, const std::function<void()>& work);

/// Standard normal numbers, the same for the same name. Of a large tensor the numbers repeat, in another order.
void fill_random(Backend& backend, const Tensor& tensor, const char* name);

/// Operations per second of a product of two square matrices as the backend makes it: the ceiling for all else.
double product_flops(Backend& backend, int64_t size);

}  // namespace lighthouse
