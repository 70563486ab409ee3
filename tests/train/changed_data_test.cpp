// A run whose data is no longer what it was is not continued in silence.
#include <gtest/gtest.h>

#include "lighthouse/core/checksum.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

class ChangedData : public testing::Test {
 protected:
  ChangedData() : config_(tiny_run(folder_)) {
    fs::create_directories(folder_ / "data");
    shard(1, 12 * 64 + 1, 1);
    for (StageSection& stage : config_.stages) stage.data.train = {{(folder_ / "data/*.bin").string(), 1}};
    Recorder recorder;
    recorder.on_step = raise_at(3);
    EXPECT_THROW(train(config_, recorder), Interrupted);
  }

  fs::path shard_path(int number) const { return folder_ / "data" / (std::to_string(number) + ".bin"); }
  void shard(int number, int64_t tokens, uint64_t seed) const {
    write_shard(shard_path(number), random_tokens(tokens, 257, seed));
  }

  void expect_refused(const std::string& change) const {
    const std::string why = refusal([&] { train(config_, resuming()); });
    for (const std::string& word : {change, std::string("data/*.bin"), std::string("--accept-changed-data")}) {
      EXPECT_NE(why.find(word), std::string::npos) << word << " in " << why;
    }
    EXPECT_EQ(checkpoints_of(config_), std::vector<int64_t>{3});
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(ChangedData, ShardAdded) {
  shard(2, 500, 9);
  expect_refused("added: " + shard_path(2).string());
}

TEST_F(ChangedData, ShardAddedBefore) {
  shard(0, 500, 9);
  expect_refused("added: " + shard_path(0).string());
}

TEST_F(ChangedData, ShardReplacedByOneOfTheSameLength) {
  shard(1, 12 * 64 + 1, 2);
  expect_refused("replaced: " + shard_path(1).string());
}

TEST_F(ChangedData, ShardRemoved) {
  shard(2, 12 * 64 + 1, 1);
  fs::remove(shard_path(1));
  shard(3, 500, 9);
  expect_refused("removed: " + shard_path(1).string());
}

TEST_F(ChangedData, SameBytesUnderAnotherNameAreTheSameData) {
  fs::rename(shard_path(1), shard_path(7));
  Recorder recorder;
  train(config_, recorder, resuming());
  EXPECT_TRUE(recorder.warnings.empty());
}

TEST_F(ChangedData, NamesMayBeInAnyEncoding) {
  RunConfig other = config_;
  other.run.directory = (folder_ / "other").string();
  fs::rename(shard_path(1), folder_ / "data/\xE9.bin");
  train(other);
  fs::rename(folder_ / "data/\xE9.bin", shard_path(1));
  shard(2, 500, 9);
  EXPECT_NE(refusal([&] { train(other, resuming()); }).find("removed: " + (folder_ / "data/\\xe9.bin").string()),
            std::string::npos);
}

TEST_F(ChangedData, IsAcceptedKnowingly) {
  shard(2, 500, 9);
  StartOptions start = resuming();
  start.accept_changed_data = true;
  Recorder recorder;
  recorder.on_step = raise_at(5);
  EXPECT_THROW(train(config_, recorder, start), Interrupted);
  ASSERT_EQ(recorder.warnings.size(), 1U);
  EXPECT_NE(recorder.warnings[0].find("has changed since"), std::string::npos) << recorder.warnings[0];
  // From here on it is the run's data.
  Recorder again;
  train(config_, again, resuming());
  EXPECT_TRUE(again.warnings.empty());
}

TEST_F(ChangedData, OfABranchIsRefusedToo) {
  RunConfig branch = config_;
  branch.run.directory = (folder_ / "branch").string();
  branch.run.branch_from = checkpoint_of(config_, 3).string();
  shard(2, 500, 9);
  EXPECT_NE(refusal([&] { train(branch); }).find("added: "), std::string::npos);
  // Only weights are taken, so that the data begins anew.
  std::swap(branch.run.branch_from, branch.run.init_from);
  branch.run.directory = (folder_ / "afresh").string();
  train(branch);
}

TEST_F(ChangedData, OfValidationIsSaid) {
  write_shard(config_.data.validation, random_tokens(5 * 64 + 1, 257, 3));
  Recorder recorder;
  train(config_, recorder, resuming());
  ASSERT_EQ(recorder.warnings.size(), 1U);
  EXPECT_NE(recorder.warnings[0].find("replaced: " + config_.data.validation), std::string::npos);
}

TEST_F(ChangedData, CheckpointWithoutAFingerprintStillResumes) {
  const fs::path path = checkpoint_of(config_, 3) / "state.json";
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(read_file(path));
  json["state"].erase("data");
  json["checksum"] = checksum_of(json["state"].dump());
  write_file(path, json.dump(2) + '\n');
  Recorder recorder;
  train(config_, recorder, resuming());
  const auto says = [](const std::string& note) { return note.find("without a fingerprint") != std::string::npos; };
  EXPECT_TRUE(std::ranges::any_of(recorder.notes, says));
}

TEST(Fingerprint, OfALongFileCoversItsWholeLength) {
  const TemporaryFolder folder;
  const std::string path = (folder / "long.bin").string();
  const std::string sound(5 << 20, 'x');
  write_file(path, sound);
  const DataFingerprint before = fingerprint_of(path);
  EXPECT_EQ(changes_between(before, fingerprint_of(path)), "");
  for (const size_t place : {size_t{12}, sound.size() / 2 + 200'000, sound.size() - 1}) {
    std::string other = sound;
    other.replace(place - place % (1 << 19), std::min<size_t>(1 << 19, sound.size() - place + place % (1 << 19)),
                  1 << 19, 'y');
    other.resize(sound.size(), 'y');
    write_file(path, other);
    EXPECT_EQ(changes_between(before, fingerprint_of(path)), "replaced: " + path) << place;
  }
}

}  // namespace
}  // namespace lighthouse
