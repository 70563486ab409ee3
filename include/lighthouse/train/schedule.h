// What happens at each step: the learning rate, the stage, the attention.
#pragma once

#include <cstdint>

#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Where a step lies among the stages. Steps are counted from 0 here.
struct StagePosition {
  int64_t stage = 0;          // index into RunConfig::stages
  int64_t step_in_stage = 0;  // from 0
};

/// The stage of `step`, which must be less than total_steps().
StagePosition stage_of_step(const RunConfig& config, int64_t step);

/// The attention of a step of a stage: every `dense_every`-th step of a Lighthouse stage is dense.
AttentionKind attention_of_step(const StageSection& stage, int64_t step_in_stage);

/// The learning rate of `step`: learning_rate (step+1) / warmup_steps while warming up; then constant until the last
/// decay_steps steps of the run (all that follow the warm-up, if there are fewer), over which it falls to min_ratio of
/// itself, reached at the last step. Times the stage's factor.
double learning_rate_of_step(const RunConfig& config, int64_t step);

}  // namespace lighthouse
