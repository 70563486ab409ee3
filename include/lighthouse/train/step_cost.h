// The cost of a training step, counted without running it.
#pragma once

#include <cstdint>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/ops/cost_meter.h"

namespace lighthouse {

/// The operations of one step of a stage in a kind of attention, as the model's own code enqueues them, on the rank of
/// `mesh` that has the most micro-batches. Nothing runs, and communication does not count. `rates` are for the
/// rooflines.
std::vector<OperationCost> step_costs(const RunConfig& config, int64_t stage, AttentionKind kind, Backend& backend,
                                      const Rates& rates, const Mesh& mesh = {});

/// The operations of the update alone, on one rank: the gradient's norm and the optimizer's step.
std::vector<OperationCost> update_costs(const RunConfig& config, Backend& backend, const Rates& rates);

/// The sum of the operations' rooflines: a lower bound of the time, in seconds.
double roofline_seconds(const std::vector<OperationCost>& costs);

}  // namespace lighthouse
