// Steps whose loss or gradient is not finite.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lighthouse/train/schedule.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

class SkippedSteps : public testing::Test {
 protected:
  SkippedSteps() : config_(tiny_run(folder_)) {
    config_.checkpoint.every = 1;
    config_.stages[0].dense_every = 0;
    config_.stages[0].attention = AttentionKind::kDense;
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(SkippedSteps, ConsumeDataAndScheduleButNoUpdate) {
  Recorder recorder;
  train(config_, recorder, {}, broken_gradient(3, 3));
  ASSERT_EQ(recorder.steps.size(), 9U);
  for (const StepMetrics& metrics : recorder.steps) {
    EXPECT_EQ(metrics.skipped, metrics.step == 3);
    EXPECT_EQ(metrics.learning_rate, learning_rate_of_step(config_, metrics.step - 1));
  }
  EXPECT_TRUE(std::isnan(recorder.steps[2].gradient_norm));
  EXPECT_TRUE(std::isfinite(recorder.steps[2].loss));
  EXPECT_NE(recorder.steps[3].loss, recorder.steps[2].loss) << "the same weights on the same data again";
  ASSERT_EQ(recorder.warnings.size(), 1U);
  EXPECT_TRUE(contains(recorder.warnings[0], "step 3 was skipped"));

  const CheckpointState before = load_state(checkpoint_of(config_, 2));
  const CheckpointState after = load_state(checkpoint_of(config_, 3));
  EXPECT_EQ(after.optimizer_updates, 2);
  EXPECT_EQ(after.skipped_in_a_row, 1);
  EXPECT_EQ(after.loader.at(config_.data.train[0].path).tokens, 3 * 128);
  EXPECT_EQ(after.tokens, 3 * 128);
  EXPECT_EQ(before.optimizer_updates, 2);
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_TRUE(read_file(checkpoint_of(config_, 2) / file) == read_file(checkpoint_of(config_, 3) / file)) << file;
  }
  const CheckpointState last = load_state(checkpoint_of(config_, 9));
  EXPECT_EQ(last.optimizer_updates, 8);
  EXPECT_EQ(last.skipped_in_a_row, 0);
}

TEST_F(SkippedSteps, ResumeIsExactAcrossThem) {
  Recorder recorder;
  train(config_, recorder, {}, broken_gradient(3, 3));
  RunConfig stopped = config_;
  stopped.run.directory = (folder_ / "stopped").string();
  Recorder first;
  first.on_step = raise_at(3);
  EXPECT_THROW(train(stopped, first, {}, broken_gradient(3, 3)), Interrupted);
  train(stopped, resuming());
  EXPECT_EQ(curve_of(stopped), curve_of(config_));
}

TEST_F(SkippedSteps, TooManyInARowStopTheRun) {
  config_.train.max_skipped_steps = 3;
  Recorder recorder;
  try {
    train(config_, recorder, {}, broken_gradient(4, 100));
    FAIL() << "the run went on";
  } catch (const RunError& error) {
    EXPECT_TRUE(contains(error.what(), "3 steps in a row")) << error.what();
    EXPECT_TRUE(contains(error.what(), config_.run.directory)) << error.what();
  }
  EXPECT_EQ(recorder.steps.size(), 6U);
  EXPECT_EQ(recorder.steps.size(), read_history(in_run(config_, "metrics.jsonl")).steps.size());
  EXPECT_EQ(checkpoints_of(config_).back(), 5);
  EXPECT_NO_THROW(verify_checkpoint(checkpoint_of(config_, 5)));
  Recorder again;
  train(config_, again, resuming_from(3));
  EXPECT_EQ(again.steps.size(), 6U);
}

TEST_F(SkippedSteps, AreCountedAcrossAResume) {
  config_.train.max_skipped_steps = 3;
  Recorder first;
  first.on_step = raise_at(2);
  EXPECT_THROW(train(config_, first, {}, broken_gradient(1, 100)), Interrupted);
  Recorder second;
  EXPECT_THROW(train(config_, second, resuming(), broken_gradient(1, 100)), RunError);
  EXPECT_EQ(second.steps.size(), 1U);
}

TEST_F(SkippedSteps, OnesApartDoNotAddUp) {
  config_.train.max_skipped_steps = 2;
  Recorder recorder;
  const auto hook = [step = 0](const Parameters& gradients) mutable {
    if (++step % 2 == 0) gradients.flat.data<float>()[0] = std::numeric_limits<float>::infinity();
  };
  train(config_, recorder, {}, hook);
  EXPECT_EQ(recorder.warnings.size(), 4U);
}

TEST_F(SkippedSteps, ALossThatIsNoNumberIsWrittenAsNull) {
  config_.train.max_skipped_steps = 2;
  Recorder recorder;
  const auto backend = make_cpu_backend();
  Trainer trainer(config_, {}, *backend, recorder);
  recorder.on_step = [&](int64_t step) {
    if (step == 2) trainer.weights().norm.data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  };
  EXPECT_THROW(trainer.run(), RunError);
  const RunHistory history = read_history(in_run(config_, "metrics.jsonl"));
  ASSERT_EQ(history.steps.size(), 4U);
  EXPECT_TRUE(std::isnan(history.steps[2].loss));
  EXPECT_TRUE(history.steps[2].skipped);
}

}  // namespace
}  // namespace lighthouse
