// A disk that takes no checkpoint for a while.
#include <gtest/gtest.h>

#include "file_size_limit.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

class FullDisk : public testing::Test {
 protected:
  FullDisk() : config_(tiny_run(folder_)), whole_(tiny_run(folder_, "whole")) { train(whole_); }

  TemporaryFolder folder_;
  RunConfig config_, whole_;
};

TEST_F(FullDisk, TrainingGoesOnWithoutACheckpoint) {
  std::unique_ptr<FileSizeLimit> full;
  Recorder recorder;
  recorder.on_step = [&](int64_t step) {
    if (step == 5) full = std::make_unique<FileSizeLimit>(20000);  // enough for metrics, too little for weights
    if (step == 6) verify_checkpoint(checkpoint_of(config_, 3));
    if (step == 7) full.reset();
  };
  train(config_, recorder);
  ASSERT_EQ(recorder.warnings.size(), 2U);
  EXPECT_TRUE(contains(recorder.warnings[0], "no checkpoint at step 5")) << recorder.warnings[0];
  EXPECT_TRUE(contains(recorder.warnings[1], "no checkpoint at step 6")) << recorder.warnings[1];
  EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{3, 9}));
  EXPECT_EQ(curve_of(config_), curve_of(whole_));
  EXPECT_NO_THROW(verify_checkpoint(checkpoint_of(config_, 9)));
  for (const auto& entry : fs::directory_iterator(in_run(config_, "checkpoints"))) {
    EXPECT_FALSE(contains(entry.path().string(), "partial"));
  }
}

TEST_F(FullDisk, AtTheEndIsAnErrorThatLosesNothingOlder) {
  std::unique_ptr<FileSizeLimit> full;
  Recorder recorder;
  recorder.on_step = [&](int64_t step) {
    if (step == 8) full = std::make_unique<FileSizeLimit>(20000);
  };
  EXPECT_TRUE(contains(refusal([&] { train(config_, recorder); }), "model.safetensors"));
  full.reset();
  EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{3, 5, 6}));
  train(config_, resuming());
  EXPECT_EQ(curve_of(config_), curve_of(whole_));
}

TEST_F(FullDisk, MetricsWaitUntilThereIsRoom) {
  std::unique_ptr<FileSizeLimit> full;
  Recorder recorder;
  config_.checkpoint.every = 0;
  recorder.on_step = [&](int64_t step) {
    if (step == 1)
      full = std::make_unique<FileSizeLimit>(static_cast<int64_t>(fs::file_size(in_run(config_, "metrics.jsonl"))) + 5);
    if (step == 4) full.reset();
  };
  train(config_, recorder);
  EXPECT_EQ(curve_of(config_), curve_of(whole_));
}

}  // namespace
}  // namespace lighthouse
