#include "lighthouse/eval/copies.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "eval/shard_files.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/random.h"
#include "model/tiny_llama.h"

namespace lighthouse {
namespace {

using Distances = std::vector<int64_t>;

TEST(PlantCopy, CopiesThePassageAtTheDistance) {
  for (const size_t distance : {5U, 6U, 20U, 35U}) {
    std::vector<int32_t> text(40);
    std::iota(text.begin(), text.end(), 100);
    std::vector<int32_t> window = text;
    plant_copy(window, 5, static_cast<int64_t>(distance));
    for (size_t i = 0; i < window.size(); ++i) {
      const bool copied = i >= 35 - distance && i < 40 - distance;
      EXPECT_EQ(window[i], text[copied ? i + distance : i]) << "token " << i << ", distance " << distance;
    }
  }
}

TEST(CopyDistances, DoubleUpToTheLargestThatFits) {
  EXPECT_EQ(default_distances(65536, 512), (Distances{1024, 2048, 4096, 8192, 16384, 32768, 64512}));
  EXPECT_EQ(default_distances(4096, 512), (Distances{1024, 2048, 3072}));
  EXPECT_EQ(default_distances(2559, 512), (Distances{1024, 2048})) << "the copy begins the window";
  EXPECT_EQ(default_distances(2558, 512), (Distances{1024}));
  EXPECT_EQ(default_distances(8192, 1500), (Distances{2048, 4096, 6144})) << "none shorter than the passage";
  EXPECT_EQ(default_distances(1024, 512), Distances{});
}

CopyOptions small_options() {
  CopyOptions options;
  options.passage = 6;
  options.distances = {6, 9, 11};
  options.windows = 4;
  return options;
}

TEST(CopyOptions, TheHeadIsAtMostHalfOfThePassage) {
  CopyOptions options;
  EXPECT_EQ(options.head(), 32);
  options.passage = 40;
  EXPECT_EQ(options.head(), 20);
  options.passage = 2;
  EXPECT_EQ(options.head(), 1);
}

TEST(CopyOptions, RefuseInvalidValues) {
  const CopyOptions good = small_options();
  good.check(16);
  CopyOptions overlapping = good, outside = good, none = good, short_passage = good, no_window = good;
  overlapping.distances = {6, 5};
  outside.distances = {12};
  none.distances = {};
  short_passage.passage = 1;
  no_window.windows = 0;
  for (const CopyOptions& options : {overlapping, outside, none, short_passage, no_window}) {
    EXPECT_THROW(options.check(16), InputError);
  }
  EXPECT_NO_THROW(outside.check(17));
  EXPECT_THROW(good.check(10), InputError) << "no space for passage and copy";
}

class CopyTest : public testing::Test {
 protected:
  static constexpr int64_t kLength = 16;
  static constexpr int64_t kWindows = 7;

  CopyTest() : tokens_(random_tokens(kWindows * kLength + 1, 50, 4)) {}

  CopyLosses test(const CopyOptions& options, int64_t batch) {
    const TemporaryFolder folder;
    const WindowedSource source(write_shard(folder / "val.bin", tokens_), kLength, 50);
    ForwardPass pass(llama_.config, dense_pass(batch, kLength), *llama_.backend);
    progress_.clear();
    return test_copies(options, pass, llama_.weights, source, *llama_.backend,
                       [&](int64_t done, int64_t of) { progress_.emplace_back(done, of); });
  }

  /// Mean losses of tokens [begin, end) of the passage in window `index`, with a copy at `distance`; 0: without.
  double by_hand(int64_t index, int64_t distance, int64_t begin, int64_t end) {
    const auto first = tokens_.begin() + index * kLength;
    std::vector<int32_t> window(first, first + kLength + 1);
    const size_t passage = window.size() - 6;
    for (size_t i = 0; distance > 0 && i < 6; ++i) {
      window[passage + i - static_cast<size_t>(distance)] = *(first + static_cast<int64_t>(passage + i));
    }
    llama_.set_batch({window.begin(), window.end() - 1}, {window.begin() + 1, window.end()});
    const std::vector<float> losses = llama_.evaluate();  // the passage's are the last 6
    return std::accumulate(losses.end() - 6 + begin, losses.end() - 6 + end, 0.0) / static_cast<double>(end - begin);
  }

  std::vector<int32_t> tokens_;
  TinyLlama llama_{tiny_config(), dense_pass(1, kLength)};
  std::vector<std::pair<int64_t, int64_t>> progress_;
};

TEST_F(CopyTest, ReportsTheModelsLosses) {
  const CopyOptions options = small_options();
  const CopyLosses found = test(options, 3);  // the last batch is not full
  EXPECT_EQ(found.windows, 4);
  EXPECT_EQ(progress_.back(), (std::pair<int64_t, int64_t>(16, 16)));
  ASSERT_EQ(found.cells.size(), 3U);
  const Permutation order(kWindows, RandomStream(options.seed, "copies"));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found.cells[i].distance, options.distances[i]);
    RunningMean without, with, gain, head, rest;
    for (uint64_t w = 0; w < 4; ++w) {
      const auto window = static_cast<int64_t>(order(w));
      const auto gain_of = [&](int64_t begin, int64_t end) {
        return by_hand(window, 0, begin, end) - by_hand(window, options.distances[i], begin, end);
      };
      without.add(by_hand(window, 0, 0, 6));
      with.add(by_hand(window, options.distances[i], 0, 6));
      gain.add(gain_of(0, 6));
      head.add(gain_of(0, 3));
      rest.add(gain_of(3, 6));
    }
    const auto expect_near = [&](const Estimate& estimate, const RunningMean& expected, const char* what) {
      EXPECT_NEAR(estimate.mean, expected.estimate().mean, 5e-6) << what << " at " << i;
      EXPECT_NEAR(estimate.standard_error, expected.estimate().standard_error, 5e-6) << what << " at " << i;
    };
    expect_near(found.cells[i].passage.without, without, "without");
    expect_near(found.cells[i].passage.with, with, "with");
    expect_near(found.cells[i].passage.gain, gain, "gain");
    expect_near(found.cells[i].head.gain, head, "head");
    expect_near(found.cells[i].rest.gain, rest, "rest");
    EXPECT_GT(std::abs(gain.estimate().mean), 1e-3) << "the copy changes nothing: the test shows nothing";
  }
}

TEST_F(CopyTest, DependsOnTheSeed) {
  CopyOptions options = small_options();
  const CopyLosses first = test(options, 2);
  EXPECT_EQ(test(options, 2).cells[1].passage.gain, first.cells[1].passage.gain);
  options.seed = 43;
  EXPECT_NE(test(options, 2).cells[1].passage.gain, first.cells[1].passage.gain);
}

TEST_F(CopyTest, UsesAllWindowsOfAShortSource) {
  CopyOptions options = small_options();
  options.windows = 100;
  EXPECT_EQ(test(options, 2).windows, kWindows);
}

TEST_F(CopyTest, AModelThatSeesLessThanTheDistanceGainsNothing) {
  llama_.config.sliding_window =
      2;  // two layers see three tokens; the last token before the passage sees no copy at 11
  const CopyLosses found = test(small_options(), 2);
  EXPECT_NEAR(found.cells[2].passage.gain.mean, 0, 1e-6);
  EXPECT_GT(std::abs(found.cells[0].passage.gain.mean), 1e-4) << "the copy stands just before the passage";
}

TEST_F(CopyTest, RefusesAModelWithNaN) {
  llama_.weights.lm_head.data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(test(small_options(), 1), RunError);
}

}  // namespace
}  // namespace lighthouse
