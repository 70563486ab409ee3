#include "lighthouse/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace lighthouse {
namespace {

/// The factor of the learning rate at `progress` (0 to 1) of the decay.
double decayed(Decay decay, double progress, double min_ratio) {
  switch (decay) {
    case Decay::kConstant:
      return 1;
    case Decay::kLinear:
      return 1 - (1 - min_ratio) * progress;
    case Decay::kCosine:
      return min_ratio + (1 - min_ratio) * (1 + std::cos(std::numbers::pi * progress)) / 2;
  }
  return 1;
}

bool due(const RunConfig& config, int64_t steps, int64_t every) {
  return ends_stage(config, steps) || (every > 0 && steps % every == 0);
}

}  // namespace

StagePosition stage_of_step(const RunConfig& config, int64_t step) {
  StagePosition position{0, step};
  for (const StageSection& stage : config.stages) {
    if (position.step_in_stage < stage.steps) return position;
    position.step_in_stage -= stage.steps;
    ++position.stage;
  }
  throw std::logic_error("there is no stage for this step");
}

AttentionKind attention_of_step(const StageSection& stage, int64_t step_in_stage) {
  const bool dense = stage.dense_every > 0 && (step_in_stage + 1) % stage.dense_every == 0;
  return dense ? AttentionKind::kDense : stage.attention;
}

double learning_rate_of_step(const RunConfig& config, int64_t step) {
  const ScheduleSection& schedule = config.schedule;
  const double peak = config.optimizer.learning_rate *
                      config.stages[static_cast<size_t>(stage_of_step(config, step).stage)].learning_rate_factor;
  if (step < schedule.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  const int64_t total = config.total_steps();
  const int64_t after_warmup = total - schedule.warmup_steps;
  const int64_t decay_steps = schedule.decay_steps > 0 ? std::min(schedule.decay_steps, after_warmup) : after_warmup;
  const int64_t into_decay = step + 1 - (total - decay_steps);
  if (into_decay <= 0) return peak;
  return peak * decayed(schedule.decay, static_cast<double>(into_decay) / static_cast<double>(decay_steps),
                        schedule.min_ratio);
}

bool ends_stage(const RunConfig& config, int64_t steps) {
  const StagePosition last = stage_of_step(config, steps - 1);
  return last.step_in_stage + 1 == config.stages[static_cast<size_t>(last.stage)].steps;
}

bool evaluation_due(const RunConfig& config, int64_t steps) {
  return due(config, steps, config.evaluation.every);
}

bool checkpoint_due(const RunConfig& config, int64_t steps) {
  return due(config, steps, config.checkpoint.every);
}

}  // namespace lighthouse
