// What a device reaches at best: what rooflines are reckoned with.
#pragma once

#include "lighthouse/model/config.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/cost.h"

namespace lighthouse {

/// Measures a large matrix product, a large copy, and attention of the model's heads over B sequences of N tokens.
Rates measured_rates(Backend& backend, const ModelConfig& model, int64_t batch, int64_t sequence_length);

/// Bytes per second of a large copy, read and written.
double copy_rate(Backend& backend);

/// What training on this CPU is taken to reach: a product and a copy are measured, attention runs at two thirds of the
/// product (docs/benchmarks.md).
Rates host_rates(Backend& cpu);

/// The share of a data sheet's figures that training reaches on a Hopper GPU, for plans (docs/benchmarks.md).
Rates planned_rates(const Hardware& hardware);

}  // namespace lighthouse
