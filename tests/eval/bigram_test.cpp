#include "lighthouse/eval/bigram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "eval/shard_files.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

TEST(BigramLoss, ByHand) {
  const TemporaryFolder folder;
  // Pairs: 01, 10, 01 and, in the other shard, 02, 22. None across the shards.
  write_shard(folder / "train-0.bin", {0, 1, 0, 1});
  write_shard(folder / "train-1.bin", {0, 2, 2});
  write_shard(folder / "val-0.bin", {0, 1, 1});
  write_shard(folder / "val-1.bin", {2, 0});
  // p(1|0) = (2+1)/(3+3), p(1|1) = (0+1)/(1+3), p(0|2) = (0+1)/(1+3).
  const double expected = -(std::log(0.5) + std::log(0.25) + std::log(0.25)) / 3;
  EXPECT_NEAR(bigram_loss({(folder / "train-*.bin").string()}, (folder / "val-*.bin").string(), 3), expected, 1e-12);
}

TEST(BigramLoss, OfAShardReadInBlocks) {
  const TemporaryFolder folder;
  constexpr int kVocabulary = 5;
  std::mt19937 random(1);
  std::vector<int32_t> train;
  for (int i = 0; i < (1 << 21) + 3; ++i) train.push_back(static_cast<int32_t>(random() % kVocabulary));
  std::vector<int32_t> validation(train.begin() + 100, train.begin() + 1100);
  double pairs[kVocabulary][kVocabulary] = {};
  double firsts[kVocabulary] = {};
  for (size_t i = 0; i + 1 < train.size(); ++i) {
    ++pairs[train[i]][train[i + 1]];
    ++firsts[train[i]];
  }
  double sum = 0;
  for (size_t i = 0; i + 1 < validation.size(); ++i) {
    const int32_t a = validation[i];
    sum -= std::log((pairs[a][validation[i + 1]] + 1) / (firsts[a] + kVocabulary));
  }
  const std::string train_path = write_shard(folder / "train.bin", train);
  const std::string validation_path = write_shard(folder / "val.bin", validation);
  EXPECT_NEAR(bigram_loss({train_path}, validation_path, kVocabulary), sum / 999, 1e-9);
}

TEST(BigramLoss, OfALargeVocabulary) {  // a table of all pairs would take 128 GiB
  const TemporaryFolder folder;
  constexpr int32_t kLast = 65535;  // of a 16-bit shard
  constexpr int64_t kVocabulary = 131072;
  const std::string train = write_shard(folder / "train.bin", {kLast, 3, kLast, 3, kLast, 4});
  const std::string validation = write_shard(folder / "val.bin", {kLast, 3, 5});
  // p(3|last) = (2+1)/(3+V), p(5|3) = (0+1)/(2+V).
  const double expected = -(std::log(3.0 / 131075) + std::log(1.0 / 131074)) / 2;
  EXPECT_NEAR(bigram_loss({train}, validation, kVocabulary), expected, 1e-12);
}

TEST(BigramLoss, RefusesUnreadableData) {
  const TemporaryFolder folder;
  const std::string shard = write_shard(folder / "a.bin", {0, 1, 2});
  const std::string other = write_shard(folder / "b.bin", {0, 3});
  EXPECT_THROW(bigram_loss({(folder / "none-*.bin").string()}, shard, 3), InputError);
  EXPECT_THROW(bigram_loss({shard}, (folder / "none.bin").string(), 3), InputError);
  EXPECT_THROW(bigram_loss({other}, shard, 3), InputError);
  EXPECT_THROW(bigram_loss({shard}, other, 3), InputError);
  EXPECT_THROW(bigram_loss({shard}, write_shard(folder / "c.bin", {1}), 3), InputError);
}

}  // namespace
}  // namespace lighthouse
