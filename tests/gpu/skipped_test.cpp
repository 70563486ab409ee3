// Steps whose gradient is not finite, found out on the device while the host has gone on.
#include <cmath>
#include <limits>

#include "gpu_run.h"

namespace lighthouse {
namespace {

class GpuSkippedSteps : public GpuRunOfType {
 protected:
  /// Writes a value that is no number into the gradient of the steps from `first` to `last` of a Trainer's run.
  TrainingStep::GradientHook broken_on_device(int64_t first, int64_t last) {
    return [this, first, last, step = int64_t{0}](const Parameters& gradients) mutable {
      ++step;
      float nan = std::numeric_limits<float>::quiet_NaN();
      if (step >= first && step <= last) upload(*gpu_, gradients.flat.slice(0, 3, 4), {&nan, {1}, DType::kFloat32});
    };
  }

  RunConfig config_ = one_stage_run(folder_, 9);
};

TEST_P(GpuSkippedSteps, LeaveTheWeightsAsTheyWere) {
  config_.checkpoint = {1, 100};
  Recorder recorder;
  train_on(*gpu_, config_, recorder, {}, broken_on_device(3, 3));
  ASSERT_EQ(recorder.steps.size(), 9U);
  for (const StepMetrics& metrics : recorder.steps) EXPECT_EQ(metrics.skipped, metrics.step == 3);
  EXPECT_TRUE(std::isnan(recorder.steps[2].gradient_norm));
  EXPECT_TRUE(std::isfinite(recorder.steps[2].loss));
  ASSERT_EQ(recorder.warnings.size(), 1U);
  EXPECT_TRUE(contains(recorder.warnings[0], "step 3 was skipped"));
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_TRUE(read_file(checkpoint_of(config_, 2) / file) == read_file(checkpoint_of(config_, 3) / file)) << file;
    EXPECT_FALSE(read_file(checkpoint_of(config_, 3) / file) == read_file(checkpoint_of(config_, 4) / file)) << file;
  }
  const CheckpointState after = load_state(checkpoint_of(config_, 3));
  EXPECT_EQ(after.optimizer_updates, 2);
  EXPECT_EQ(after.skipped_in_a_row, 1);
  EXPECT_EQ(after.tokens, 3 * 128) << "its data is not read again";
  const CheckpointState last = load_state(checkpoint_of(config_, 9));
  EXPECT_EQ(last.optimizer_updates, 8);
  EXPECT_EQ(last.skipped_in_a_row, 0);
  const RunHistory history = read_history(in_run(config_, "metrics.jsonl"));
  ASSERT_EQ(history.steps.size(), 9U);
  for (const StepMetrics& metrics : history.steps) EXPECT_EQ(metrics.skipped, metrics.step == 3);
}

TEST_P(GpuSkippedSteps, AreTheSameWithoutPausesBetween) {
  RunConfig pausing = config_;
  pausing.run.directory = (folder_ / "pausing").string();
  pausing.checkpoint.every = 1;
  config_.checkpoint.every = config_.evaluation.every = pausing.evaluation.every = 0;
  for (const RunConfig& config : {config_, pausing}) {
    Recorder recorder;
    train_on(*gpu_, config, recorder, {}, broken_on_device(3, 5));
    EXPECT_EQ(recorder.warnings.size(), 3U);
  }
  EXPECT_EQ(curve_of(config_), curve_of(pausing));
  expect_same_checkpoint(config_, pausing, 9);
}

TEST_P(GpuSkippedSteps, TooManyInARowStopTheRun) {
  config_.train.max_skipped_steps = 3;
  config_.evaluation.every = 0;
  Recorder recorder;
  try {
    train_on(*gpu_, config_, recorder, {}, broken_on_device(4, 100));
    FAIL() << "the run went on";
  } catch (const RunError& error) {
    EXPECT_TRUE(contains(error.what(), "3 steps in a row")) << error.what();
  }
  EXPECT_EQ(recorder.steps.size(), 6U);
  EXPECT_EQ(read_history(in_run(config_, "metrics.jsonl")).steps.size(), 6U);
  EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{3}));
  EXPECT_NO_THROW(verify_checkpoint(checkpoint_of(config_, 3)));
  Recorder again;
  train_on(*gpu_, config_, again, resuming());
  EXPECT_EQ(again.first, 3);
  EXPECT_EQ(again.steps.size(), 6U);
}

INSTANTIATE_TEST_SUITE_P(Types, GpuSkippedSteps, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
