// The time of a step on many ranks, planned from its time on one. The formulas are in docs/distributed.md.
#pragma once

#include <cstdint>

#include "lighthouse/config/run_config.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/cost.h"

namespace lighthouse {

/// One step of a stage on many ranks. Seconds are those of one step.
struct ScalingPlan {
  int64_t micro_batches = 0;         // of the rank that has most
  int64_t bytes_sent = 0;            // by each rank
  double compute_seconds = 0;        // of the rank that has most micro-batches, its update included
  double communication_seconds = 0;  // of all collectives
  double exposed_seconds = 0;        // the part of communication_seconds that no computation hides
  double step_seconds = 0;
  double tokens_per_second = 0;  // of all ranks
  double efficiency = 0;         // speed of all ranks over `ranks` times the speed of one
};

/// Plans a step of a stage in a kind of attention on `ranks` ranks. One rank's operations are counted (step_costs),
/// with `rates` for their rooflines. `measured`: seconds that one rank takes for the whole global batch; 0: planned
/// from the rooflines.
ScalingPlan plan_scaling(const RunConfig& config, int64_t stage, AttentionKind kind, Backend& backend,
                         const Rates& rates, int ranks, double measured = 0);

/// Seconds of an all-reduce of `bytes` bytes on each rank. A reduce-scatter or an all-gather takes half as long.
double all_reduce_seconds(const HardwareSection& hardware, double bytes, int ranks);

}  // namespace lighthouse
