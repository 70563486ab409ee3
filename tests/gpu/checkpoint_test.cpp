// Checkpoints that are copied and written while the GPU trains on.
#include <cmath>
#include <cstring>
#include <thread>

#include "gpu_run.h"
#include "train/file_size_limit.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

class GpuCheckpoints : public GpuRun {
 protected:
  /// The checkpoint of step 8 cannot be written, because of what `spoil` does; `repair` is called once it was missed.
  void expect_one_lost(const std::function<void()>& spoil, const std::function<void()>& repair) {
    config_.checkpoint.every = 4;
    whole_.checkpoint.every = 4;
    train_on(*gpu_, whole_);
    Recorder recorder;
    bool repaired = false;
    recorder.on_step = [&](int64_t step) {
      if (step == 7) spoil();
      if (step <= 8 || repaired) return;
      // Given time, the writer has failed before the step's end.
      if (recorder.warnings.empty()) return std::this_thread::sleep_for(std::chrono::milliseconds(200));
      repair();
      repaired = true;
    };
    train_on(*gpu_, config_, recorder);
    EXPECT_TRUE(repaired);
    ASSERT_EQ(recorder.warnings.size(), 1U);
    EXPECT_TRUE(contains(recorder.warnings[0], "no checkpoint at step 8:")) << "the step that was to be saved";
    EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{4, 12}));
    EXPECT_NO_THROW(verify_checkpoint(checkpoint_of(config_, 12)));
    for (const auto& entry : fs::directory_iterator(in_run(config_, "checkpoints"))) {
      EXPECT_FALSE(contains(entry.path().string(), "partial"));
    }
    EXPECT_EQ(curve_of(config_), curve_of(whole_));
    expect_same_checkpoint(config_, whole_, 12);
  }

  RunConfig config_ = one_stage_run(folder_, 12), whole_ = one_stage_run(folder_, 12, "whole");
};

TEST_F(GpuCheckpoints, AreWholeAndHoldTheWeightsOfTheirStep) {
  RunConfig saving = one_stage_run(folder_, 6, "saving");
  saving.checkpoint = {1, 100};
  saving.evaluation.every = 0;
  const Memory memory = gpu_->allocate(int64_t{1} << 28);
  const Tensor busy(memory.address(), {memory.bytes()}, DType::kUInt8, memory.device());
  Recorder recorder;
  // So the copies of a checkpoint come late, when the next step would overtake them if it did not wait.
  recorder.on_step = [&](int64_t) {
    for (int i = 0; i < 50; ++i) gpu_->fill(gpu_->download_stream(), busy, 1);
  };
  train_on(*gpu_, saving, recorder);
  EXPECT_TRUE(recorder.warnings.empty());
  EXPECT_EQ(checkpoints_of(saving), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  for (int64_t step = 1; step <= 6; ++step) {
    EXPECT_NO_THROW(verify_checkpoint(checkpoint_of(saving, step)));
    RunConfig ending = one_stage_run(folder_, step, "ending-" + std::to_string(step));
    ending.checkpoint.every = 0;
    train_on(*gpu_, ending);
    expect_same_checkpoint(saving, ending, step);
    EXPECT_EQ(load_state(checkpoint_of(saving, step)).optimizer_updates, step);
    EXPECT_EQ(load_state(checkpoint_of(saving, step)).loader, load_state(checkpoint_of(ending, step)).loader);
  }
}

TEST_F(GpuCheckpoints, AFullDiskLosesOneAndTrainingGoesOn) {
  std::unique_ptr<FileSizeLimit> full;
  const auto fill_up = [&] { full = std::make_unique<FileSizeLimit>(20000); };  // room for metrics, not for weights
  expect_one_lost(fill_up, [&] { full.reset(); });
}

TEST_F(GpuCheckpoints, AFolderThatTakesNoneLosesOneAndTrainingGoesOn) {
  const fs::path folder = in_run(config_, "checkpoints"), aside = in_run(config_, "aside");
  const auto spoil = [&] {
    fs::rename(folder, aside);
    std::ofstream(folder) << "a file is in its place";
  };
  expect_one_lost(spoil, [&] {
    fs::remove(folder);
    fs::rename(aside, folder);
  });
}

TEST_F(GpuCheckpoints, AFullDiskAtTheEndIsAnErrorThatLosesNothingOlder) {
  config_.checkpoint.every = 4;
  std::unique_ptr<FileSizeLimit> full;
  Recorder recorder;
  recorder.on_step = [&](int64_t step) {
    if (step == 11) full = std::make_unique<FileSizeLimit>(20000);
    if (step == 9) std::this_thread::sleep_for(std::chrono::milliseconds(200));  // for the one of step 8
  };
  EXPECT_TRUE(contains(refusal([&] { train_on(*gpu_, config_, recorder); }), "model.safetensors"));
  full.reset();
  EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{4, 8}));
  train_on(*gpu_, config_, resuming());
  train_on(*gpu_, whole_);
  EXPECT_EQ(curve_of(config_), curve_of(whole_));
}

// The vocabulary's padding is in no file, so neither starting nor resuming may take it from whatever lay in the pinned
// memory that tensors pass through.
TEST_F(GpuCheckpoints, PaddingIsZeroWhateverPinnedMemoryHeldBefore) {
  const auto leave_nans = [&] {
    const Memory used = gpu_->allocate_host(CheckpointWriter::pinned_bytes(config_, *gpu_));
    std::memset(used.address(), 0xff, static_cast<size_t>(used.bytes()));
  };
  const auto expect_zero = [&](const Tensor& matrix) {
    const Tensor padding = matrix.slice(0, config_.model.vocab_size, matrix.size(0));
    const std::vector<float> values = download<float>(*gpu_, padding);
    EXPECT_EQ(std::count(values.begin(), values.end(), 0.0f), padding.numel());
  };
  for (const StartOptions& start : {StartOptions(), resuming()}) {
    leave_nans();
    Recorder recorder;
    Trainer trainer(config_, start, *gpu_, recorder);
    expect_zero(trainer.weights().embed_tokens);
    expect_zero(trainer.weights().lm_head);
    if (start.resume) break;
    recorder.on_step = raise_at(2);
    EXPECT_THROW(trainer.run(), Interrupted);
    EXPECT_TRUE(recorder.warnings.empty());
    expect_zero(trainer.weights().lm_head);
  }
}

}  // namespace
}  // namespace lighthouse
