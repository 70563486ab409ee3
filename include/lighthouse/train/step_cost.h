// What a step of training costs, found without running it.
#pragma once

#include <cstdint>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/ops/cost_meter.h"

namespace lighthouse {

/// The operations of one step of a stage whose layers attend as `kind`, counted by the model's own code without running
/// it, on the rank of `mesh` that does the most. `rates` are for the rooflines.
std::vector<OperationCost> step_costs(const RunConfig& config, int64_t stage, AttentionKind kind, Backend& backend,
                                      const Rates& rates, const Mesh& mesh = {});

/// The sum of the rooflines: the seconds that the step cannot be faster than.
double roofline_seconds(const std::vector<OperationCost>& costs);

}  // namespace lighthouse
