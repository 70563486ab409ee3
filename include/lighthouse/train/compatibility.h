// Which settings may change when a run continues from a checkpoint.
#pragma once

#include <cstdint>
#include <string>

#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Throws InputError unless a run that has finished `step` steps under `before` can be resumed under `now`; the message
/// names the keys that differ and must not, and those that may. Settings that shaped finished steps must stay, with one
/// exception: the current stage may get more steps, although the decay, which counts from the end, then moves.
void check_resumable(const RunConfig& before, const RunConfig& now, int64_t step, const std::string& checkpoint);

/// Throws InputError unless the model has the same shape, for run.branch_from and run.init_from; everything else may
/// change.
void check_same_model(const RunConfig& before, const RunConfig& now, const std::string& checkpoint);

}  // namespace lighthouse
