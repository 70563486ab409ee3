#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lighthouse/eval/generator.h"

namespace lighthouse {
namespace {

constexpr int kDraws = 20000;

/// How often each token is drawn.
std::vector<double> frequencies(const std::vector<float>& logits, const SamplingOptions& options) {
  std::vector<double> result(logits.size());
  for (uint64_t i = 0; i < kDraws; ++i) {
    const int32_t token = sample(logits.data(), static_cast<int64_t>(logits.size()), options, i);
    ++result.at(static_cast<size_t>(token));
  }
  for (double& count : result) count /= kDraws;
  return result;
}

void expect_distribution(const std::vector<double>& actual, const std::vector<double>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const double deviation = std::sqrt(expected[i] * (1 - expected[i]) / kDraws);
    EXPECT_NEAR(actual[i], expected[i], 4 * deviation) << "token " << i;
  }
}

std::vector<float> logs(const std::vector<double>& probabilities) {
  std::vector<float> result;
  for (double p : probabilities) result.push_back(static_cast<float>(std::log(p)));
  return result;
}

SamplingOptions at_temperature(double temperature, int64_t top_k = 0) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_k = top_k;
  return options;
}

TEST(Sample, ZeroTemperatureIsGreedy) {
  const std::vector<float> logits{-1, 3, 2, 3, 9};
  EXPECT_EQ(sample(logits.data(), 5, at_temperature(0), 0), 4);
  EXPECT_EQ(sample(logits.data(), 4, at_temperature(0), 7), 1) << "padding is no candidate; equal ones: the first";
}

TEST(Sample, TheLikeliestOfALargeVocabulary) {
  std::vector<float> logits(5000, -2);
  for (size_t place : {4999, 4321, 2047, 1024, 1023, 0}) {
    logits[place] = 1;  // equal to earlier ones: the first wins
    EXPECT_EQ(sample(logits.data(), 5000, at_temperature(0), 0), static_cast<int32_t>(place));
    EXPECT_EQ(sample(logits.data(), 5000, at_temperature(1, 1), 0), static_cast<int32_t>(place));
  }
  logits[4600] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_ANY_THROW(sample(logits.data(), 5000, at_temperature(0), 0));
}

TEST(Sample, DrawsFromTheSoftmax) {
  const std::vector<double> p{0.5, 0.25, 0.15, 0.07, 0.03};
  expect_distribution(frequencies(logs(p), at_temperature(1)), p);
  std::vector<float> shifted = logs(p);
  for (float& logit : shifted) logit += 10000;  // overflows without subtracting the maximum
  EXPECT_NEAR(frequencies(shifted, at_temperature(1))[0], 0.5, 0.02);
}

TEST(Sample, TemperatureSharpensAndFlattens) {
  const std::vector<double> p{0.64, 0.32, 0.04};
  expect_distribution(frequencies(logs(p), at_temperature(2)),
                      {0.8 / (0.8 + std::sqrt(0.32) + 0.2), std::sqrt(0.32) / (0.8 + std::sqrt(0.32) + 0.2),
                       0.2 / (0.8 + std::sqrt(0.32) + 0.2)});
  EXPECT_EQ(frequencies(logs(p), at_temperature(1e-3))[0], 1);
  EXPECT_EQ(frequencies(logs(p), at_temperature(1e-300))[0], 1);
  expect_distribution(frequencies(logs(p), at_temperature(1e9)), {1 / 3.0, 1 / 3.0, 1 / 3.0});
}

TEST(Sample, TopKKeepsTheMostLikely) {
  const std::vector<double> p{0.05, 0.3, 0.1, 0.5, 0.05};
  expect_distribution(frequencies(logs(p), at_temperature(1, 2)), {0, 0.375, 0, 0.625, 0});
  EXPECT_EQ(frequencies(logs(p), at_temperature(5, 1))[3], 1);
  expect_distribution(frequencies(logs(p), at_temperature(1, 5)), p);
  expect_distribution(frequencies(logs(p), at_temperature(1, 100)), p);
  // The first among equals: token 0, not token 4.
  EXPECT_EQ(frequencies(logs(p), at_temperature(1, 4))[4], 0);
}

TEST(Sample, TopPKeepsTheFewestThatSuffice) {
  const std::vector<double> p{0.05, 0.3, 0.1, 0.5, 0.05};
  SamplingOptions options;
  options.top_p = 0.7;  // 0.5 is not enough, 0.5 and 0.3 are
  expect_distribution(frequencies(logs(p), options), {0, 0.375, 0, 0.625, 0});
  options.top_p = 0.92;  // the first among equals
  expect_distribution(frequencies(logs(p), options), {0.05 / 0.95, 0.3 / 0.95, 0.1 / 0.95, 0.5 / 0.95, 0});
  options.top_p = 1e-9;
  EXPECT_EQ(frequencies(logs(p), options)[3], 1);
  options.top_p = 0.4;
  options.top_k = 2;  // applies after top_k
  EXPECT_EQ(frequencies(logs(p), options)[3], 1);
}

TEST(Sample, TopPOverManyTokensLeavesOutTheTail) {
  std::vector<double> p(1000, 0.1 / 998);
  p[17] = 0.5;
  p[500] = 0.4;
  SamplingOptions options;
  options.top_p = 0.89;
  const std::vector<double> drawn = frequencies(logs(p), options);
  EXPECT_EQ(drawn[17] + drawn[500], 1);
  EXPECT_NEAR(drawn[17], 5 / 9.0, 0.02);
}

TEST(Sample, NeverDrawsPadding) {
  const std::vector<float> logits{0, 0, 50};
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_LT(sample(logits.data(), 2, at_temperature(1), i), 2);
}

TEST(Sample, IsAFunctionOfSeedAndNumber) {
  const std::vector<float> logits(100);
  SamplingOptions options;
  const auto draw = [&] {
    std::vector<int32_t> tokens;
    for (uint64_t i = 0; i < 50; ++i) tokens.push_back(sample(logits.data(), 100, options, i));
    return tokens;
  };
  const std::vector<int32_t> first = draw();
  EXPECT_EQ(draw(), first);
  options.seed = 43;
  EXPECT_NE(draw(), first);
}

}  // namespace
}  // namespace lighthouse
