// Which settings a run may change when it continues from a checkpoint.
#pragma once

#include <cstdint>
#include <string>

#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Throws InputError, naming every key that differs and may not, and those that may, unless a run that has finished
/// `step` steps under `before` can be resumed under `now`. What shaped the steps already made must stay, with one
/// exception: the stage under way may be given more steps, and a schedule that counts from the end then moves with it.
void check_resumable(const RunConfig& before, const RunConfig& now, int64_t step, const std::string& checkpoint);

/// The same for run.branch_from and run.init_from, under which everything may change but the model's shape.
void check_same_model(const RunConfig& before, const RunConfig& now, const std::string& checkpoint);

}  // namespace lighthouse
