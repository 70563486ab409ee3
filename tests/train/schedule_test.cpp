#include "lighthouse/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace lighthouse {
namespace {

RunConfig two_stages() {
  RunConfig config;
  config.optimizer.learning_rate = 0.1;
  config.stages.resize(2);
  config.stages[0].attention = AttentionKind::kLighthouse;
  config.stages[0].steps = 60;
  config.stages[1].steps = 40;
  config.schedule.warmup_steps = 10;
  config.schedule.min_ratio = 0.2;
  return config;
}

TEST(Schedule, WarmUpIsLinearFromTheFirstStep) {
  const RunConfig config = two_stages();
  for (int64_t step = 0; step < 10; ++step) {
    EXPECT_DOUBLE_EQ(learning_rate_of_step(config, step), 0.1 * static_cast<double>(step + 1) / 10);
  }
}

TEST(Schedule, ConstantStaysAtThePeak) {
  RunConfig config = two_stages();
  config.schedule.decay = Decay::kConstant;
  for (int64_t step : {9, 10, 50, 99}) EXPECT_DOUBLE_EQ(learning_rate_of_step(config, step), 0.1);
}

TEST(Schedule, LinearFallsToMinRatioAtTheLastStep) {
  const RunConfig config = two_stages();
  EXPECT_DOUBLE_EQ(learning_rate_of_step(config, 9), 0.1);
  for (int64_t step = 10; step < 100; ++step) {
    EXPECT_NEAR(learning_rate_of_step(config, step), 0.1 * (1 - 0.8 * static_cast<double>(step - 9) / 90), 1e-12);
  }
  EXPECT_NEAR(learning_rate_of_step(config, 99), 0.02, 1e-12);
}

TEST(Schedule, CosineFallsToMinRatioAtTheLastStep) {
  RunConfig config = two_stages();
  config.schedule.decay = Decay::kCosine;
  for (int64_t step = 10; step < 100; ++step) {
    const double progress = static_cast<double>(step - 9) / 90;
    EXPECT_NEAR(learning_rate_of_step(config, step),
                0.1 * (0.2 + 0.8 * (0.5 + 0.5 * std::cos(std::numbers::pi * progress))), 1e-12);
  }
  EXPECT_NEAR(learning_rate_of_step(config, 54), 0.06, 1e-12) << "half way";
  EXPECT_NEAR(learning_rate_of_step(config, 99), 0.02, 1e-12);
}

TEST(Schedule, DecayStepsAreTheLastOnesOfTheRun) {
  RunConfig config = two_stages();
  config.schedule.decay_steps = 20;
  for (int64_t step : {10, 50, 79}) EXPECT_DOUBLE_EQ(learning_rate_of_step(config, step), 0.1);
  EXPECT_NEAR(learning_rate_of_step(config, 80), 0.1 * (1 - 0.8 / 20), 1e-12);
  EXPECT_NEAR(learning_rate_of_step(config, 89), 0.06, 1e-12);
  EXPECT_NEAR(learning_rate_of_step(config, 99), 0.02, 1e-12);
}

TEST(Schedule, AStagesFactorMultipliesEverything) {
  RunConfig config = two_stages();
  const RunConfig plain = config;
  config.stages[0].learning_rate_factor = 3;
  config.stages[1].learning_rate_factor = 0.5;
  for (int64_t step : {0, 9, 59}) {
    EXPECT_DOUBLE_EQ(learning_rate_of_step(config, step), 3 * learning_rate_of_step(plain, step));
  }
  for (int64_t step : {60, 99}) {
    EXPECT_DOUBLE_EQ(learning_rate_of_step(config, step), 0.5 * learning_rate_of_step(plain, step));
  }
}

TEST(Schedule, WithoutWarmUpOrWithNothingElse) {
  RunConfig config = two_stages();
  config.schedule.warmup_steps = 0;
  EXPECT_NEAR(learning_rate_of_step(config, 0), 0.1 * (1 - 0.8 / 100), 1e-12);
  config.schedule.warmup_steps = 100;
  EXPECT_DOUBLE_EQ(learning_rate_of_step(config, 99), 0.1);
}

TEST(Schedule, StagesFollowOneAnother) {
  const RunConfig config = two_stages();
  EXPECT_EQ(config.total_steps(), 100);
  const auto at = [&](int64_t step) {
    const StagePosition position = stage_of_step(config, step);
    return std::pair(position.stage, position.step_in_stage);
  };
  EXPECT_EQ(at(0), std::pair(int64_t{0}, int64_t{0}));
  EXPECT_EQ(at(59), std::pair(int64_t{0}, int64_t{59}));
  EXPECT_EQ(at(60), std::pair(int64_t{1}, int64_t{0}));
  EXPECT_EQ(at(99), std::pair(int64_t{1}, int64_t{39}));
  EXPECT_THROW(stage_of_step(config, 100), std::logic_error);
}

TEST(Schedule, EveryNthStepOfALighthouseStageIsDense) {
  StageSection stage = two_stages().stages[0];
  EXPECT_EQ(attention_of_step(stage, 3), AttentionKind::kLighthouse);
  stage.dense_every = 4;
  for (int64_t step = 0; step < 20; ++step) {
    EXPECT_EQ(attention_of_step(stage, step), step % 4 == 3 ? AttentionKind::kDense : AttentionKind::kLighthouse);
  }
  EXPECT_EQ(attention_of_step(two_stages().stages[1], 0), AttentionKind::kDense);
}

}  // namespace
}  // namespace lighthouse
