#include "lighthouse/eval/position_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/shard_files.h"
#include "lighthouse/core/error.h"
#include "lighthouse/eval/validation.h"
#include "model/tiny_llama.h"

namespace lighthouse {
namespace {

using Ranges = std::vector<PositionRange>;

TEST(PositionRanges, Double) {
  EXPECT_EQ(doubling_ranges(16, 2), (Ranges{{0, 2}, {2, 4}, {4, 8}, {8, 16}}));
  EXPECT_EQ(doubling_ranges(65536).back(), (PositionRange{32768, 65536}));
  EXPECT_EQ(doubling_ranges(40), (Ranges{{0, 40}})) << "shorter than the first";
}

TEST(PositionRanges, AShortLastRangeIsMerged) {
  EXPECT_EQ(doubling_ranges(11, 2), (Ranges{{0, 2}, {2, 4}, {4, 11}}));
  EXPECT_EQ(doubling_ranges(12, 2), (Ranges{{0, 2}, {2, 4}, {4, 8}, {8, 12}}));
}

TEST(PositionRanges, Equal) {
  EXPECT_EQ(equal_ranges(10, 3), (Ranges{{0, 3}, {3, 6}, {6, 10}}));
  EXPECT_EQ(equal_ranges(2, 2), (Ranges{{0, 1}, {1, 2}}));
  EXPECT_THROW(equal_ranges(10, 0), InputError);
  EXPECT_THROW(equal_ranges(10, 11), InputError);
}

TEST(PositionLosses, MeansAndTheirErrors) {
  PositionLosses losses({{0, 1}, {1, 4}});
  losses.add(std::vector<float>{5, 1, 2, 3});
  EXPECT_EQ(losses.by_range()[1].standard_error, 0) << "one window says nothing of how windows differ";
  losses.add(std::vector<float>{7, 2, 3, 4});
  losses.add(std::vector<float>{9, 6, 6, 6});
  const std::vector<PositionLoss> by_range = losses.by_range();
  EXPECT_DOUBLE_EQ(by_range[0].loss, 7);
  EXPECT_DOUBLE_EQ(by_range[0].standard_error, 2 / std::sqrt(3.0));  // windows at 5, 7, 9
  EXPECT_DOUBLE_EQ(by_range[1].loss, 11 / 3.0);                      // windows at 2, 3, 6
  EXPECT_DOUBLE_EQ(losses.overall().loss, 54 / 12.0);
  EXPECT_EQ(losses.overall().range, (PositionRange{0, 4}));
}

TEST(PositionLosses, AWindowOfAnotherLengthThrows) {
  PositionLosses losses({{0, 2}});
  EXPECT_THROW(losses.add(std::vector<float>{1}), std::logic_error);
}

TEST(PositionLosses, OfAModelAreThoseOfEachPosition) {
  constexpr int64_t kLength = 16;
  TemporaryFolder folder;
  const std::vector<int32_t> tokens = random_tokens(3 * kLength + 1, 50, 4);
  const WindowedSource source(write_shard(folder / "val.bin", tokens), kLength, 50);
  PassSettings pass = dense_pass(2, kLength);
  pass.backward = false;
  TinyLlama tiny(tiny_config(), pass);
  BatchFeed feed(*tiny.backend, tiny.inputs.numel());
  PositionLosses losses(equal_ranges(kLength, kLength));
  EXPECT_EQ(evaluate_windows(tiny.model, tiny.weights, source, 100, tiny.inputs, tiny.targets, feed, *tiny.backend,
                             [&](std::span<const float> window) { losses.add(window); }),
            3);

  std::vector<double> expected(kLength);
  TinyLlama single(tiny_config(), dense_pass(1, kLength));
  for (int64_t window = 0; window < 3; ++window) {
    const auto first = tokens.begin() + window * kLength;
    single.set_batch({first, first + kLength}, {first + 1, first + kLength + 1});
    const std::vector<float> of_window = single.evaluate();
    for (size_t i = 0; i < expected.size(); ++i) expected[i] += of_window[i] / 3.0;
  }
  constexpr double kTolerance =
      5e-6;  // a few roundings of a float32 of about 4: the two batches sum in different orders
  double sum = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(losses.by_range()[i].loss, expected[i], kTolerance);
    sum += expected[i];
  }
  EXPECT_NEAR(losses.overall().loss, sum / kLength, kTolerance);
  EXPECT_NEAR(validation_loss(tiny.model, tiny.weights, source, 3, tiny.inputs, tiny.targets, feed, *tiny.backend),
              sum / kLength, kTolerance);
}

}  // namespace
}  // namespace lighthouse
