// The rates of a device from which rooflines are computed.
#pragma once

#include "lighthouse/model/config.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/cost.h"

namespace lighthouse {

/// Measures a large matrix product, a large copy, and attention of the model's heads over B sequences of N tokens.
Rates measured_rates(Backend& backend, const ModelConfig& model, int64_t batch, int64_t sequence_length);

/// The rate of a large copy in bytes per second, reads plus writes.
double copy_rate(Backend& backend);

/// The rates that training reaches on this CPU: measures a product and a copy, and takes two thirds of the product's
/// rate for attention (docs/benchmarks.md).
Rates host_rates(Backend& cpu);

/// The rates that training reaches on a GPU, from its data sheet and the fractions reached on Hopper
/// (docs/benchmarks.md).
Rates planned_rates(const Hardware& hardware);

}  // namespace lighthouse
