#include "lighthouse/train/compatibility.h"

#include <gtest/gtest.h>

#include <set>

#include "lighthouse/train/schedule.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

class Compatibility : public testing::Test {
 protected:
  Compatibility() : before_(tiny_run(folder_)), now_(before_) {}

  /// The keys that a refusal lists, one a line.
  std::set<std::string> refused(int64_t step = 7) {
    std::set<std::string> keys;
    try {
      check_resumable(before_, now_, step, "CHECKPOINT");
    } catch (const InputError& error) {
      const std::string message = error.what();
      EXPECT_TRUE(contains(message, "CHECKPOINT"));
      EXPECT_TRUE(contains(message, "evaluation.*")) << "which may change is said";
      for (size_t at = message.find("\n  "); at != std::string::npos; at = message.find("\n  ", at + 1)) {
        keys.insert(message.substr(at + 3, message.find(':', at) - at - 3));
      }
    }
    return keys;
  }

  using Keys = std::set<std::string>;
  TemporaryFolder folder_;
  RunConfig before_, now_;
};

TEST_F(Compatibility, TheSameConfigFits) {
  EXPECT_EQ(refused(), Keys());
  EXPECT_EQ(refused(9), Keys());
}

TEST_F(Compatibility, WhatChangesStepsAlreadyMadeIsRefusedByName) {
  now_.optimizer.learning_rate = 0.5;
  EXPECT_EQ(refused(), Keys{"optimizer.learning_rate"});
  now_.model.hidden_size = 32;
  now_.run.seed = 7;
  now_.schedule.warmup_steps = 1;
  now_.attention.lighthouse.top_k = 4;
  EXPECT_EQ(refused(), (Keys{"optimizer.learning_rate", "model.hidden_size", "run.seed", "schedule.warmup_steps",
                             "attention.lighthouse.top_k"}));
}

TEST_F(Compatibility, TheKindsOfLayersMayNotChange) {
  now_.attention.window = 9;
  now_.attention.lighthouse.window = 5;
  now_.attention.lighthouse.window_layers = {-1};
  now_.attention.lighthouse.window_every = 2;
  now_.model.sliding_window = 30;
  now_.model.full_attention_layers = {0};
  EXPECT_EQ(refused(),
            (Keys{"attention.window", "attention.lighthouse.window", "attention.lighthouse.window_layers",
                  "attention.lighthouse.window_every", "model.sliding_window", "model.full_attention_layers"}));
  now_ = before_;
  now_.stages[0].attention = AttentionKind::kWindow;
  EXPECT_EQ(refused(3), Keys{"stages.0.attention"});
}

TEST_F(Compatibility, BothValuesAreShown) {
  now_.optimizer.beta2 = 0.75;
  const std::string message = refusal([&] { check_resumable(before_, now_, 7, "CHECKPOINT"); });
  EXPECT_TRUE(contains(message, "0.95") && contains(message, "0.75")) << message;
}

TEST_F(Compatibility, WhereAndInWhichTypeItRunsMayChange) {
  now_.run.device = DeviceChoice::kCuda;
  now_.run.dtype = DTypeChoice::kBFloat16;
  now_.run.deterministic = true;
  now_.memory.attention_workspace = 1;
  for (StageSection& stage : now_.stages) stage.recompute = RecomputeChoice::kBlock;
  EXPECT_EQ(refused(), Keys());
}

TEST_F(Compatibility, WhatOnlyWatchesMayChange) {
  now_.run.name = "another";
  now_.run.directory = "elsewhere";
  now_.checkpoint = {1, 1};
  now_.evaluation = {1, 1};
  now_.train.max_skipped_steps = 1;
  now_.hardware.peak_tflops = 5;
  now_.data.validation = "other.bin";
  resolve_stages(now_);
  EXPECT_EQ(refused(), Keys());
}

TEST_F(Compatibility, DataAndBatchOfStagesAlreadyBegunMayNot) {
  now_.data.train[0].path = "other.bin";
  now_.batch.global_batch_size = 4;
  resolve_stages(now_);
  const Keys keys = refused(7);
  EXPECT_TRUE(keys.count("stages.0.batch.global_batch_size"));
  EXPECT_TRUE(keys.count("stages.1.batch.global_batch_size"));
  EXPECT_EQ(keys.size(), 4U) << "and the data of both stages";
  const Keys early = refused(2);
  EXPECT_TRUE(early.count("stages.0.batch.global_batch_size"));
  EXPECT_FALSE(early.count("stages.1.batch.global_batch_size")) << "a stage to come may change";
}

TEST_F(Compatibility, TheStageUnderWayMayBecomeLongerOrStopSooner) {
  now_.stages[1].steps = 10;
  EXPECT_EQ(refused(7), Keys());
  EXPECT_EQ(refused(9), Keys()) << "also when the run had ended";
  now_.stages[1].steps = 3;
  EXPECT_EQ(refused(7), Keys());
  now_.stages[1].steps = 1;
  EXPECT_EQ(refused(7), Keys{"stages.1.steps"}) << "two steps of it are made";
  now_ = before_;
  now_.stages[0].steps = 6;
  EXPECT_EQ(refused(7), Keys{"stages.0.steps"}) << "a stage that is over";
  EXPECT_EQ(refused(3), Keys());
}

TEST_F(Compatibility, StagesToComeMayChange) {
  now_.stages[1].attention = AttentionKind::kLighthouse;
  now_.stages[1].learning_rate_factor = 2;
  now_.stages.push_back(now_.stages[1]);
  now_.stages.back().name = "third";
  EXPECT_EQ(refused(3), Keys());
  EXPECT_FALSE(refused(7).empty());
}

TEST_F(Compatibility, ABranchMayChangeAllButTheModel) {
  now_.optimizer.learning_rate = 0.5;
  now_.stages.resize(1);
  now_.run.seed = 3;
  now_.batch.global_batch_size = 8;
  now_.model.rope_theta = 500000;
  now_.model.sliding_window = 30;
  now_.model.full_attention_layers = {0};
  now_.attention.lighthouse.window = 5;
  resolve_stages(now_);
  EXPECT_NO_THROW(check_same_model(before_, now_, "CHECKPOINT"));
  now_.model.num_key_value_heads = 2;
  EXPECT_TRUE(contains(refusal([&] { check_same_model(before_, now_, "CHECKPOINT"); }), "model.num_key_value_heads"));
}

TEST_F(Compatibility, ARunIsResumedWithMoreSteps) {
  train(before_);
  now_.stages[1].steps = 6;
  now_.evaluation.every = 1;
  now_.schedule = before_.schedule;
  Recorder recorder;
  train(now_, recorder, resuming());
  ASSERT_EQ(recorder.steps.size(), 2U);
  EXPECT_EQ(recorder.steps[1].step, 11);
  EXPECT_EQ(recorder.steps[1].learning_rate, learning_rate_of_step(now_, 10));
  EXPECT_EQ(recorder.validations.size(), 2U);
}

TEST_F(Compatibility, ARunIsNotResumedWithAnotherWindow) {
  train(before_);
  const std::string metrics = read_file(in_run(before_, "metrics.jsonl"));
  now_.attention.lighthouse.window = 5;
  EXPECT_TRUE(
      contains(refusal([&] { train(now_, resuming()); }), "attention.lighthouse.window: 0 in the checkpoint, 5 now"));
  EXPECT_EQ(read_file(in_run(before_, "metrics.jsonl")), metrics);
}

TEST_F(Compatibility, ARunWithOtherSettingsIsNotResumed) {
  train(before_);
  const std::string metrics = read_file(in_run(before_, "metrics.jsonl"));
  const std::string saved = read_file(in_run(before_, "config.yaml"));
  now_.optimizer.weight_decay = 0.3;
  EXPECT_TRUE(contains(refusal([&] { train(now_, resuming()); }), "optimizer.weight_decay"));
  EXPECT_EQ(read_file(in_run(before_, "metrics.jsonl")), metrics);
  EXPECT_EQ(read_file(in_run(before_, "config.yaml")), saved);
}

}  // namespace
}  // namespace lighthouse
