#include "lighthouse/data/loader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <string>

#include "core/temporary_folder.h"
#include "data/shard_files.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

constexpr int64_t kVocabulary = 65536;
constexpr uint64_t kSeed = 42;

class LoaderTest : public testing::Test {
 protected:
  std::string pattern(const std::string& name) const { return (folder_ / name).string(); }

  /// A source of one shard whose tokens count up from `first`, so that a window's first token identifies it.
  DataSource source(const std::string& name, int32_t first, int64_t tokens, double weight = 1) const {
    write_shard(folder_ / name, counting(first, tokens));
    return {pattern(name), weight};
  }

  /// The first tokens of the next `count` windows, drawn `global` at a time.
  static std::vector<int32_t> draw(Loader& loader, int64_t sequence_length, int64_t count, int64_t global = 1) {
    std::vector<int32_t> firsts;
    std::vector<int32_t> tokens(static_cast<size_t>(global * (sequence_length + 1)));
    for (int64_t i = 0; i < count; i += global) {
      loader.next(global, 0, global, tokens);
      for (int64_t s = 0; s < global; ++s) firsts.push_back(tokens[static_cast<size_t>(s * (sequence_length + 1))]);
    }
    return firsts;
  }

  TemporaryFolder folder_;
};

TEST_F(LoaderTest, WindowsBeginAtMultiplesOfNAndStayInTheirShard) {
  write_shard(folder_ / "train-0.bin", counting(0, 13));     // 3 windows of 4
  write_shard(folder_ / "train-1.bin", counting(1000, 4));   // none: one token short
  write_shard(folder_ / "train-2.bin", counting(2000, 5));   // 1
  write_shard(folder_ / "train-3.bin", counting(3000, 12));  // 2
  const WindowedSource windows(pattern("train-*.bin"), 4, kVocabulary);
  EXPECT_EQ(windows.tokens(), 34);
  ASSERT_EQ(windows.windows(), 6);
  const std::vector<int32_t> firsts{0, 4, 8, 2000, 3000, 3004};
  std::vector<int32_t> window(5);
  for (int64_t i = 0; i < windows.windows(); ++i) {
    windows.read(i, window);
    EXPECT_EQ(window, counting(firsts[static_cast<size_t>(i)], 5));
  }
  EXPECT_THROW(windows.read(6, window), std::logic_error);
  EXPECT_THROW(windows.read(-1, window), std::logic_error);
  window.resize(4);
  EXPECT_THROW(windows.read(0, window), std::logic_error);
}

TEST_F(LoaderTest, ReadsBothWidths) {
  write_shard(folder_ / "train-0.bin", counting(0, 9), 2);
  write_shard(folder_ / "train-1.bin", counting(70'000, 9), 4);
  const WindowedSource windows(pattern("train-*.bin"), 8, 100'000);
  std::vector<int32_t> window(9);
  windows.read(1, window);
  EXPECT_EQ(window, counting(70'000, 9));
}

TEST_F(LoaderTest, RefusesASequenceLongerThanTheData) {
  write_shard(folder_ / "train-0.bin", counting(0, 100));
  write_shard(folder_ / "train-1.bin", counting(0, 1000));
  const std::string message =
      message_of<InputError>([&] { WindowedSource(pattern("train-*.bin"), 1000, kVocabulary); });
  EXPECT_TRUE(contains(message, "sequence length of 1,000 is too long"));
  EXPECT_TRUE(contains(message, "train-1.bin, has 1,000;"));
  EXPECT_TRUE(contains(message, "at most 999"));
  EXPECT_EQ(WindowedSource(pattern("train-*.bin"), 999, kVocabulary).windows(), 1);
  EXPECT_THROW(WindowedSource(pattern("train-*.bin"), 0, kVocabulary), InputError);
}

TEST_F(LoaderTest, RefusesTokensOutsideTheVocabulary) {
  const DataSource data = source("train-0.bin", 200, 60);
  EXPECT_NO_THROW(Loader({data}, 4, 260, kSeed));
  EXPECT_TRUE(contains(message_of<InputError>([&] { Loader({data}, 4, 256, kSeed); }), "token 56 is 256"));
}

TEST_F(LoaderTest, LargeSourcesAreCheckedWindowByWindow) {
  // A sparse file: a header, more than 2^29 zero tokens, then one token outside the vocabulary.
  write_shard(folder_ / "train-0.bin", {1, 2, 3});
  const int64_t count = WindowedSource::kScanAtOpening / 2 + 5;
  std::FILE* file = std::fopen((folder_ / "train-0.bin").c_str(), "r+b");
  ASSERT_NE(file, nullptr);
  const auto header_count = static_cast<int32_t>(count);
  const uint16_t last = 300;
  std::fseek(file, 8, SEEK_SET);
  std::fwrite(&header_count, sizeof(header_count), 1, file);
  std::fseek(file, 1024 + 2 * (count - 1), SEEK_SET);
  std::fwrite(&last, sizeof(last), 1, file);
  std::fclose(file);

  const WindowedSource windows(pattern("train-0.bin"), 4, 256);
  ASSERT_EQ(windows.windows(), (count - 1) / 4);
  std::vector<int32_t> window(5);
  windows.read(0, window);
  EXPECT_EQ(window, (std::vector<int32_t>{1, 2, 3, 0, 0}));
  EXPECT_TRUE(contains(message_of<InputError>([&] { windows.read(windows.windows() - 1, window); }), "is 300,"));
}

TEST_F(LoaderTest, EveryEpochIsAPermutation) {
  const int64_t windows = 37;
  Loader loader({source("train-0.bin", 0, windows * 8 + 5)}, 8, kVocabulary, kSeed);
  std::set<std::vector<int32_t>> orders;
  for (int epoch = 0; epoch < 4; ++epoch) {
    std::vector<int32_t> firsts = draw(loader, 8, windows);
    orders.insert(firsts);
    std::sort(firsts.begin(), firsts.end());
    for (int64_t i = 0; i < windows; ++i) EXPECT_EQ(firsts[static_cast<size_t>(i)], 8 * i);
  }
  EXPECT_EQ(orders.size(), 4);
}

TEST_F(LoaderTest, TheSeedDeterminesTheOrder) {
  const DataSource data = source("train-0.bin", 0, 1001);
  Loader a({data}, 10, kVocabulary, 1), same({data}, 10, kVocabulary, 1), other({data}, 10, kVocabulary, 2);
  const auto order = draw(a, 10, 100);
  EXPECT_EQ(draw(same, 10, 100), order);
  EXPECT_NE(draw(other, 10, 100), order);
}

TEST_F(LoaderTest, ContinuesFromAnyPosition) {
  const std::vector<DataSource> data{source("a.bin", 0, 100, 3), source("b.bin", 1000, 333, 1.5)};
  for (int64_t before : {0, 1, 7, 11, 50}) {
    Loader whole(data, 9, kVocabulary, kSeed);
    draw(whole, 9, before);
    Loader resumed(data, 9, kVocabulary, kSeed);
    resumed.seek(whole.position());
    EXPECT_EQ(draw(resumed, 9, 60), draw(whole, 9, 60));
    EXPECT_EQ(resumed.position(), whole.position());
  }
}

TEST_F(LoaderTest, KeepsItsPositionWhenTheSequenceLengthChanges) {
  const DataSource data = source("train-0.bin", 0, 1001);
  Loader first({data}, 10, kVocabulary, kSeed);
  draw(first, 10, 33);
  EXPECT_EQ(first.position().tokens, std::vector<int64_t>{330});
  // 330 tokens are 8 windows of 40 and part of another: the ninth is next.
  Loader longer({data}, 40, kVocabulary, kSeed), reference({data}, 40, kVocabulary, kSeed);
  longer.seek(first.position());
  draw(reference, 40, 8);
  EXPECT_EQ(draw(longer, 40, 30), draw(reference, 40, 30));
  EXPECT_EQ(longer.position().tokens, std::vector<int64_t>{330 + 30 * 40});
}

TEST_F(LoaderTest, RefusesAPositionOfOtherSources) {
  Loader loader({source("train-0.bin", 0, 100)}, 9, kVocabulary, kSeed);
  EXPECT_THROW(loader.seek({{0, 0}, {0, 0}}), InputError);
  EXPECT_THROW(loader.seek({{}, {}}), InputError);
  EXPECT_THROW(loader.seek({{-9}, {0}}), InputError);
  EXPECT_THROW(loader.seek({{90}, {}}), InputError);
  EXPECT_NO_THROW(loader.seek({{90}, {90}}));
}

TEST_F(LoaderTest, RanksShareOneSequenceOfDraws) {
  const std::vector<DataSource> data{source("a.bin", 0, 500, 2), source("b.bin", 1000, 333)};
  constexpr int64_t kGlobal = 12, kLength = 9, kWindow = kLength + 1;
  Loader single(data, kLength, kVocabulary, kSeed);
  std::vector<std::vector<int32_t>> expected(8, std::vector<int32_t>(kGlobal * kWindow));
  for (auto& batch : expected) single.next(kGlobal, 0, kGlobal, batch);

  for (int64_t ranks : {2, 3, 4, 6, 12}) {
    const int64_t share = kGlobal / ranks;
    std::vector<std::vector<int32_t>> found(8);
    for (int64_t rank = 0; rank < ranks; ++rank) {
      Loader loader(data, kLength, kVocabulary, kSeed);
      for (auto& batch : found) {
        std::vector<int32_t> part(static_cast<size_t>(share * kWindow));
        loader.next(kGlobal, rank * share, share, part);
        batch.insert(batch.end(), part.begin(), part.end());
      }
      EXPECT_EQ(loader.position(), single.position());
    }
    EXPECT_EQ(found, expected) << ranks << " ranks";
  }
}

TEST_F(LoaderTest, DrawsByWeight) {
  Loader loader({source("a.bin", 0, 901, 0.7), source("b.bin", 1000, 901, 0.2), source("c.bin", 2000, 91, 0.1)}, 9,
                kVocabulary, kSeed);
  const std::vector<double> shares{0.7, 0.2, 0.1};
  std::vector<int64_t> drawn(3);
  for (int64_t i = 1; i <= 1000; ++i) {
    ++drawn[static_cast<size_t>(draw(loader, 9, 1).front() / 1000)];
    for (size_t s = 0; s < 3; ++s) {
      EXPECT_LE(std::abs(static_cast<double>(drawn[s]) - shares[s] * static_cast<double>(i)), 1.5) << i;
    }
  }
  EXPECT_EQ(drawn, (std::vector<int64_t>{700, 200, 100}));
}

TEST_F(LoaderTest, WeightsIgnoreTokensDrawnUnderEarlierWeights) {
  const std::vector<DataSource> sources{source("a.bin", 0, 901), source("b.bin", 1000, 901)};
  Loader loader(sources, 9, kVocabulary, kSeed);
  loader.seek({{9 * 500, 0}, {0, 0}});  // an earlier stage drew only from the first source
  int64_t of_first = 0;
  for (int64_t i = 0; i < 100; ++i) of_first += draw(loader, 9, 1).front() < 1000;
  EXPECT_EQ(of_first, 50);
}

TEST_F(LoaderTest, TiesGoToTheFirstSource) {
  Loader loader({source("a.bin", 0, 100), source("b.bin", 1000, 100)}, 9, kVocabulary, kSeed);
  const auto firsts = draw(loader, 9, 6);
  for (size_t i = 0; i < firsts.size(); ++i) EXPECT_EQ(firsts[i] >= 1000, i % 2 == 1);
}

TEST_F(LoaderTest, RefusesInvalidSources) {
  EXPECT_THROW(Loader({}, 9, kVocabulary, kSeed), InputError);
  EXPECT_THROW(Loader({{pattern("none-*.bin"), 1}}, 9, kVocabulary, kSeed), InputError);
  for (double weight : {0.0, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    const DataSource data = source("train-0.bin", 0, 100, weight);
    EXPECT_TRUE(contains(message_of<InputError>([&] { Loader({data}, 9, kVocabulary, kSeed); }), "positive number"));
  }
}

TEST_F(LoaderTest, ARanksSequencesMustBePartOfTheBatch) {
  Loader loader({source("train-0.bin", 0, 100)}, 9, kVocabulary, kSeed);
  std::vector<int32_t> tokens(20);
  EXPECT_THROW(loader.next(4, 3, 2, tokens), std::logic_error);
  EXPECT_THROW(loader.next(4, -1, 2, tokens), std::logic_error);
  EXPECT_THROW(loader.next(4, 0, 1, tokens), std::logic_error);
  EXPECT_EQ(loader.position().tokens, std::vector<int64_t>{0});
}

}  // namespace
}  // namespace lighthouse
