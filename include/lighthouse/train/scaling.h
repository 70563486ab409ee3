// What a step takes on many ranks, from what it takes on one: docs/distributed.md has the formulas.
#pragma once

#include <cstdint>

#include "lighthouse/config/run_config.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/cost.h"

namespace lighthouse {

struct ScalingPlan {
  int64_t micro_batches = 0;         // of the rank that has most
  int64_t bytes_sent = 0;            // by each rank in a step
  double compute_seconds = 0;        // of that rank, its update included
  double communication_seconds = 0;  // of a step
  double exposed_seconds = 0;        // of these, not hidden behind the last backward pass
  double step_seconds = 0;
  double tokens_per_second = 0;  // of all ranks
  double efficiency = 0;         // against as many times one rank's speed
};

/// A step of a stage on `ranks` ranks. The operations of one rank are counted (step_costs); `measured` is one rank's
/// time for the whole global batch, or 0.
ScalingPlan plan_scaling(const RunConfig& config, int64_t stage, AttentionKind kind, Backend& backend,
                         const Rates& rates, int ranks, double measured = 0);

/// Seconds of a sum over ranks of `bytes` bytes on each, and of half of it: of a reduce-scatter or an all-gather.
double all_reduce_seconds(const HardwareSection& hardware, double bytes, int ranks);

}  // namespace lighthouse
