// What of a run's data is used, how often, and what of it must not be used twice.
#include "lighthouse/train/data_use.h"

#include <gtest/gtest.h>

#include "tiny_run.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

class DataUse : public testing::Test {
 protected:
  DataUse() : config_(tiny_run(folder_)) { fs::create_directories(folder_ / "data"); }

  std::string shard(const std::string& name, int64_t tokens) const {
    return write_shard(folder_ / "data" / name, random_tokens(tokens, 257, 4));
  }
  void train_on(std::vector<std::string> patterns) {
    for (StageSection& stage : config_.stages) {
      stage.data.train.clear();
      for (const std::string& pattern : patterns)
        stage.data.train.push_back({(folder_ / "data" / pattern).string(), 1});
    }
  }
  void expect_refused(const std::vector<std::string>& words) const {
    const std::string why = refusal([&] { train(config_); });
    for (const std::string& word : words) EXPECT_NE(why.find(word), std::string::npos) << word << " in " << why;
    EXPECT_FALSE(fs::exists(config_.run.directory));
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(DataUse, CountsWhatIsInNoWindow) {
  shard("a.bin", 3 * 64 + 11);
  shard("b.bin", 64);  // one token short of a window
  shard("c.bin", 65);
  train_on({"*.bin"});
  const std::vector<SourceUse> all = data_use(config_);
  ASSERT_EQ(all.size(), 4U);
  const WindowUse& use = all[0].use;
  EXPECT_EQ(use.files, 3);
  EXPECT_EQ(use.unused_files, 1);
  EXPECT_EQ(use.tokens, 3 * 64 + 11 + 64 + 65);
  EXPECT_EQ(use.unused_tokens, 10 + 64);
  EXPECT_EQ(use.windows, 4);
  EXPECT_EQ(all[0].passes, 5 * 2 / 4.0);
  EXPECT_EQ(all[1].passes, 4 * 2 / 4.0);
  EXPECT_TRUE(all[0].wastes());
  EXPECT_EQ(all[2].pattern, config_.data.validation);
  EXPECT_EQ(all[2].use.unused_tokens, 0);
  EXPECT_FALSE(all[2].wastes());
}

TEST_F(DataUse, OfTwoSourcesFollowsTheirWeights) {
  shard("a.bin", 10 * 64 + 1);
  shard("b.bin", 10 * 64 + 1);
  train_on({"a.bin", "b.bin"});
  config_.stages[0].data.train[1].weight = 3;
  const std::vector<SourceUse> all = data_use(config_);
  EXPECT_DOUBLE_EQ(all[0].passes, 10 * 0.25 / 10);
  EXPECT_DOUBLE_EQ(all[1].passes, 10 * 0.75 / 10);
}

TEST_F(DataUse, IsSaidAtTheStartOfARunAndWarnedOf) {
  shard("a.bin", 12 * 64 + 1);
  shard("b.bin", 64);
  train_on({"a.bin", "b.bin"});
  train_on({"*.bin"});
  Recorder sound;
  train(config_, sound);
  const auto says = [](const std::string& text) {
    return text.find("1 of the files have no window") != std::string::npos;
  };
  EXPECT_TRUE(std::ranges::any_of(sound.notes, says));
  EXPECT_TRUE(sound.warnings.empty());
  shard("c.bin", 60);
  config_.run.directory += "-2";
  Recorder wasteful;
  train(config_, wasteful);
  ASSERT_EQ(wasteful.warnings.size(), 2U);  // of each stage
  EXPECT_NE(wasteful.warnings[0].find("2 of the files have no window"), std::string::npos) << wasteful.warnings[0];
}

TEST_F(DataUse, PatternThatTakesInValidationShardsIsRefused) {
  shard("train-0.bin", 500);
  const std::string val = shard("val-0.bin", 500);
  train_on({"*.bin"});
  for (StageSection& stage : config_.stages) stage.data.validation = (folder_ / "data/val-*.bin").string();
  expect_refused({val, "validation data too", "data/*.bin", "data/val-*.bin"});
}

TEST_F(DataUse, ValidationOfAnotherStageIsRefused) {
  const std::string data = shard("a.bin", 500);
  train_on({"a.bin"});
  config_.stages[1].data.validation = data;
  config_.stages[1].data.train = {{shard("b.bin", 500), 1}};
  expect_refused({data, "stage pretrain"});
}

TEST_F(DataUse, LinksToValidationShardsAreRefused) {
  const std::string val = shard("val.bin", 500);
  for (const bool symbolic : {true, false}) {
    fs::remove(folder_ / "data/train.bin");
    if (symbolic) fs::create_symlink("val.bin", folder_ / "data/train.bin");
    if (!symbolic) fs::create_hard_link(val, folder_ / "data/train.bin");
    train_on({"train.bin"});
    for (StageSection& stage : config_.stages) stage.data.validation = val;
    expect_refused({"train.bin (the same file as " + val});
  }
}

TEST_F(DataUse, SourcesThatShareAFileAreRefused) {
  const std::string first = shard("train-00.bin", 500);
  shard("train-10.bin", 500);
  train_on({"train-*.bin", "train-0*.bin"});
  expect_refused({first, "twice", "train-*.bin", "train-0*.bin", "weight"});
  fs::create_symlink("train-00.bin", folder_ / "data/train-20.bin");
  train_on({"train-*.bin"});
  expect_refused({"train-20.bin (the same file as " + first, "matches both names"});
}

}  // namespace
}  // namespace lighthouse
