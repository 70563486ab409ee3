// What each step of a run is: its stage, attention and learning rate, and whether an evaluation or a checkpoint
// follows.
#pragma once

#include <cstdint>

#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// The place of a step among the stages.
struct StagePosition {
  int64_t stage = 0;          // index into RunConfig::stages
  int64_t step_in_stage = 0;  // from 0
};

/// The stage of `step`, counted from 0. Throws std::logic_error unless it is less than total_steps().
StagePosition stage_of_step(const RunConfig& config, int64_t step);

/// The attention of a step of a stage: in a Lighthouse or window stage every `dense_every`-th step is dense.
AttentionKind attention_of_step(const StageSection& stage, int64_t step_in_stage);

/// The learning rate of `step`, counted from 0. It rises linearly to optimizer.learning_rate over warmup_steps, is
/// constant, and decays over the last decay_steps steps of the run (at most those after the warm-up) to min_ratio times
/// optimizer.learning_rate, which the last step reaches. All of it is multiplied by the stage's learning_rate_factor.
double learning_rate_of_step(const RunConfig& config, int64_t step);

// After `steps` finished steps, at least 1:

/// Whether the last one ends its stage.
bool ends_stage(const RunConfig& config, int64_t steps);
/// Whether an evaluation is due: every evaluation.every steps and at the end of a stage.
bool evaluation_due(const RunConfig& config, int64_t steps);
/// Whether a checkpoint is due: every checkpoint.every steps and at the end of a stage.
bool checkpoint_due(const RunConfig& config, int64_t steps);

}  // namespace lighthouse
