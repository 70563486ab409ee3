// How fast this machine is.
#pragma once

#include <cstdint>
#include <functional>

#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// The fastest of `repeats` runs after one that is not counted: on a shared machine the least disturbed.
double best_seconds(int64_t repeats, const std::function<void()>& work);

/// Operations per second of a large matrix product as the backend makes it: the ceiling for all else. Takes a fifth of
/// a second or so.
double product_flops(Backend& backend);

}  // namespace lighthouse
