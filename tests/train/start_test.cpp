// Runs that begin with another run's weights or state, and what else is refused before the first step.
#include <gtest/gtest.h>

#include "lighthouse/train/schedule.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

class Start : public testing::Test {
 protected:
  Start() : parent_(tiny_run(folder_, "parent")), child_(tiny_run(folder_, "child")) { train(parent_); }

  TemporaryFolder folder_;
  RunConfig parent_, child_;
};

TEST_F(Start, InitFromTakesTheWeightsAndNothingElse) {
  child_.run.init_from = parent_.run.directory;
  child_.checkpoint.every = 1;
  child_.data.train[0].path = write_shard(folder_ / "other.bin", random_tokens(12 * 64 + 1, 257, 77));
  resolve_stages(child_);
  const auto backend = make_cpu_backend();
  Recorder recorder;
  {
    Trainer trainer(child_, {}, *backend, recorder);
    TinyLlama expected(parent_.model, dense_pass(1, 64));
    load_weights(checkpoint_of(parent_, 9), expected.weights, parent_.model);
    EXPECT_EQ(floats_of(trainer.weights().flat), floats_of(expected.weights.flat));
    trainer.run();
  }
  EXPECT_EQ(recorder.first, 0);
  ASSERT_EQ(recorder.steps.size(), 9U);
  EXPECT_EQ(recorder.steps[0].learning_rate, learning_rate_of_step(child_, 0));
  EXPECT_EQ(recorder.steps[0].tokens, 128);
  EXPECT_EQ(load_state(checkpoint_of(child_, 1)).optimizer_updates, 1);
}

TEST_F(Start, InitFromAnOlderCheckpointByPath) {
  child_.run.init_from = checkpoint_of(parent_, 3).string();
  const auto backend = make_cpu_backend();
  Recorder recorder;
  const Trainer trainer(child_, {}, *backend, recorder);
  TinyLlama expected(parent_.model, dense_pass(1, 64));
  load_weights(checkpoint_of(parent_, 3), expected.weights, parent_.model);
  EXPECT_EQ(floats_of(trainer.weights().flat), floats_of(expected.weights.flat));
}

TEST_F(Start, InitFromAnotherModelOrNothingIsRefused) {
  child_.run.init_from = (folder_ / "nowhere").string();
  EXPECT_TRUE(contains(refusal([&] { train(child_); }), "nowhere"));
  child_.run.init_from = parent_.run.directory;
  child_.model.num_hidden_layers = 3;
  EXPECT_TRUE(contains(refusal([&] { train(child_); }), "model.num_hidden_layers"));
  EXPECT_FALSE(fs::exists(in_run(child_, "metrics.jsonl")));
  EXPECT_FALSE(fs::exists(in_run(child_, "config.yaml")));
}

TEST_F(Start, ABranchContinuesTheWholeState) {
  const std::string untouched = read_file(in_run(parent_, "metrics.jsonl"));
  child_.run.branch_from = checkpoint_of(parent_, 5).string();
  train(child_);
  EXPECT_EQ(curve_of(child_), curve_of(parent_));
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_TRUE(read_file(checkpoint_of(child_, 9) / file) == read_file(checkpoint_of(parent_, 9) / file)) << file;
  }
  EXPECT_EQ(read_file(in_run(parent_, "metrics.jsonl")), untouched);
}

TEST_F(Start, BranchesOfOneRunRecoverForDifferentTimes) {
  const std::vector<std::string> parent = lines_of(in_run(parent_, "metrics.jsonl"));
  const RunHistory history = read_history(in_run(parent_, "metrics.jsonl"));
  for (int64_t steps : {2, 7}) {
    RunConfig branch = tiny_run(folder_, "branch" + std::to_string(steps));
    branch.run.branch_from = checkpoint_of(parent_, 5).string();
    branch.stages[1].steps = steps;
    Recorder recorder;
    train(branch, recorder);
    ASSERT_EQ(recorder.steps.size(), static_cast<size_t>(steps));
    EXPECT_EQ(recorder.steps[0].step, 6);
    EXPECT_EQ(recorder.steps[0].loss, history.steps[5].loss);
    EXPECT_EQ(recorder.steps[0].learning_rate, learning_rate_of_step(branch, 5));
    EXPECT_NE(recorder.steps[1].loss, history.steps[6].loss) << "another schedule";
    // The history up to the branch is copied, word for word: five steps, three validations.
    const std::vector<std::string> lines = lines_of(in_run(branch, "metrics.jsonl"));
    EXPECT_EQ(std::vector<std::string>(lines.begin(), lines.begin() + 8),
              std::vector<std::string>(parent.begin(), parent.begin() + 8));
  }
}

TEST_F(Start, ABranchIsStoppedAndResumedLikeAnyRun) {
  child_.run.branch_from = checkpoint_of(parent_, 5).string();
  Recorder recorder;
  recorder.on_step = raise_at(7);
  EXPECT_THROW(train(child_, recorder), Interrupted);
  train(child_, resuming());
  EXPECT_EQ(curve_of(child_), curve_of(parent_));
}

TEST_F(Start, ADamagedCheckpointIsNoStart) {
  flip_bit(checkpoint_of(parent_, 9) / "model.safetensors", 4000, 1);
  child_.run.init_from = parent_.run.directory;
  EXPECT_TRUE(contains(refusal([&] { train(child_); }), "model.safetensors"));
  child_.run.init_from.clear();
  child_.run.branch_from = parent_.run.directory;
  EXPECT_TRUE(contains(refusal([&] { train(child_); }), "model.safetensors"));
}

TEST_F(Start, DataThatDoesNotFitIsRefusedBeforeAnythingIsWritten) {
  const auto refused = [&](const RunConfig& config) {
    const std::string message = refusal([&] { train(config); });
    EXPECT_FALSE(fs::exists(config.run.directory));
    return message;
  };
  RunConfig config = child_;
  config.data.train = {};
  resolve_stages(config);
  EXPECT_TRUE(contains(refused(config), "data.train"));
  config.data.train = {{(folder_ / "none-*.bin").string(), 1}};
  resolve_stages(config);
  EXPECT_TRUE(contains(refused(config), "none-*.bin"));
  config.data.train = {{write_shard(folder_ / "short.bin", random_tokens(64, 257, 1)), 1}};
  resolve_stages(config);
  EXPECT_TRUE(contains(refused(config), "short.bin"));
  config.data.train = {{write_shard(folder_ / "strange.bin", std::vector<int32_t>(100, 300)), 1}};
  resolve_stages(config);
  EXPECT_TRUE(contains(refused(config), "300"));
  config.data.train = child_.data.train;
  config.data.validation = (folder_ / "short.bin").string();
  resolve_stages(config);
  EXPECT_TRUE(contains(refused(config), "short.bin"));
}

TEST_F(Start, ASourceNamedTwiceIsRefused) {
  child_.data.train.push_back({child_.data.train[0].path, 2});
  resolve_stages(child_);
  EXPECT_TRUE(contains(refusal([&] { train(child_); }), child_.data.train[0].path))
      << "its place in the data could not be told from the other's";
}

TEST_F(Start, WithoutValidationDataThereIsNoValidation) {
  child_.data.validation.clear();
  resolve_stages(child_);
  Recorder recorder;
  train(child_, recorder);
  EXPECT_EQ(recorder.steps.size(), 9U);
  EXPECT_TRUE(recorder.validations.empty());
}

}  // namespace
}  // namespace lighthouse
