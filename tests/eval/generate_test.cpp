#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "lighthouse/core/error.h"
#include "lighthouse/eval/generator.h"
#include "model/tiny_llama.h"

namespace lighthouse {
namespace {

constexpr int32_t kNoEnd = -1;

class Generate : public testing::Test {
 protected:
  std::vector<int32_t> continue_prompt(const std::vector<int32_t>& prompt, const SamplingOptions& options,
                                       int64_t context = 1000, int32_t end = kNoEnd) {
    std::vector<int32_t> tokens;
    generate(weights_.config, weights_.weights, *weights_.backend, prompt, context, end, options,
             [&](int32_t token) { tokens.push_back(token); });
    return tokens;
  }

  /// The most likely next token, from a model of exactly this length.
  int32_t likeliest_after(const std::vector<int32_t>& tokens) {
    const auto n = static_cast<int64_t>(tokens.size());
    TinyLlama exact(weights_.config, dense_pass(1, n));
    exact.set_batch(tokens, tokens);
    exact.model.forward(exact.stream, weights_.weights, exact.inputs);
    std::vector<float> logits(static_cast<size_t>(exact.config.padded_vocab_size()));
    exact.model.logits(exact.stream, Tensor(logits.data(), {1, exact.config.padded_vocab_size()}, DType::kFloat32),
                       weights_.weights, n - 1);
    const auto end = logits.begin() + weights_.config.vocab_size;
    return static_cast<int32_t>(std::max_element(logits.begin(), end) - logits.begin());
  }

  static SamplingOptions greedy(int64_t tokens) {
    SamplingOptions options;
    options.temperature = 0;
    options.max_tokens = tokens;
    return options;
  }

  TinyLlama weights_{tiny_config(), dense_pass(1, 8)};
};

TEST_F(Generate, GreedyAgreesWithAModelWithoutPadding) {
  // Across 64 tokens, where the padded length changes.
  std::vector<int32_t> tokens = random_tokens(60, 50, 9);
  const std::vector<int32_t> generated = continue_prompt(tokens, greedy(8));
  ASSERT_EQ(generated.size(), 8U);
  for (int32_t token : generated) {
    EXPECT_EQ(token, likeliest_after(tokens)) << "after " << tokens.size() << " tokens";
    tokens.push_back(token);
  }
}

TEST_F(Generate, AgreesWithAModelWithoutACache) {
  std::vector<int32_t> tokens = random_tokens(5, 50, 3);
  for (int32_t token : continue_prompt(tokens, greedy(60))) {
    EXPECT_EQ(token, likeliest_after(tokens)) << "after " << tokens.size() << " tokens";
    tokens.push_back(token);
  }
  EXPECT_EQ(tokens.size(), 65U);
}

// In the prompt and in decoding.
TEST_F(Generate, UsesTheModelsOwnWindow) {
  const std::vector<int32_t> prompt = random_tokens(12, 50, 3);
  const std::vector<int32_t> without = continue_prompt(prompt, greedy(40));
  weights_.config.sliding_window = 4;
  weights_.config.full_attention_layers = {0};
  std::vector<int32_t> tokens = prompt;
  const std::vector<int32_t> generated = continue_prompt(prompt, greedy(40));
  EXPECT_NE(generated, without) << "the window makes no difference here: the test shows nothing";
  for (int32_t token : generated) {
    EXPECT_EQ(token, likeliest_after(tokens)) << "after " << tokens.size() << " tokens";
    tokens.push_back(token);
  }
}

TEST_F(Generate, SeesTheLastTokensOfItsContext) {
  // A quarter of three tokens is zero: exactly the last three predict every token.
  std::vector<int32_t> tokens = random_tokens(20, 50, 9);
  const std::vector<int32_t> generated = continue_prompt(tokens, greedy(6), 3);
  bool limited = false;
  for (int32_t token : generated) {
    EXPECT_EQ(token, likeliest_after({tokens.end() - 3, tokens.end()}));
    limited = limited || token != likeliest_after(tokens);
    tokens.push_back(token);
  }
  EXPECT_TRUE(limited) << "the context makes no difference here: the test shows nothing";
}

TEST_F(Generate, ForgetsAQuarterOfAFullContext) {
  std::vector<int32_t> tokens = random_tokens(6, 50, 9);
  int64_t seen = 6;
  for (int32_t token : continue_prompt(tokens, greedy(12), 8)) {
    EXPECT_EQ(token, likeliest_after({tokens.end() - seen, tokens.end()})) << "from " << seen;
    tokens.push_back(token);
    seen = seen < 8 ? seen + 1 : 6;
  }
}

// Windows narrower and wider than the context, in all layers, in one, and named from the end.
TEST_F(Generate, ForgetsAQuarterOfAFullContextWithinAModelsOwnWindow) {
  const std::vector<int32_t> prompt = random_tokens(9, 50, 9);
  const std::vector<int32_t> without = continue_prompt(prompt, greedy(30), 16);
  const ModelConfig plain = weights_.config;
  for (const auto& [window, full_layers] : std::vector<std::pair<int64_t, std::vector<int64_t>>>{
           {1, {1}}, {3, {}}, {3, {0}}, {5, {-1}}, {15, {}}, {16, {}}, {1000, {0}}}) {
    weights_.config = plain;
    weights_.config.sliding_window = window;
    weights_.config.full_attention_layers = full_layers;
    std::vector<int32_t> tokens = prompt;
    int64_t seen = 9;
    const std::vector<int32_t> generated = continue_prompt(prompt, greedy(30), 16);
    for (int32_t token : generated) {
      EXPECT_EQ(token, likeliest_after({tokens.end() - seen, tokens.end()})) << "window " << window << ", of " << seen;
      tokens.push_back(token);
      seen = seen < 16 ? seen + 1 : 12;
    }
    EXPECT_EQ(generated == without, window >= 16) << "window " << window;
  }
}

TEST_F(Generate, MeasuresTimes) {
  const GenerationTimes times =
      generate(weights_.config, weights_.weights, *weights_.backend, {1, 2, 3}, 100, kNoEnd, greedy(5), [](int32_t) {});
  EXPECT_EQ(times.prompt_tokens, 3);
  EXPECT_EQ(times.tokens, 4);
  EXPECT_GT(times.prompt_seconds, 0);
  EXPECT_GT(times.seconds, 0);
}

TEST_F(Generate, StopsBeforeTheEndToken) {
  const std::vector<int32_t> prompt{1, 2, 3};
  const std::vector<int32_t> whole = continue_prompt(prompt, greedy(12));
  const int32_t end = whole[4];
  const auto stop = std::find(whole.begin(), whole.end(), end);
  EXPECT_EQ(continue_prompt(prompt, greedy(12), 1000, end), std::vector<int32_t>(whole.begin(), stop));
}

TEST_F(Generate, SamplesBySeed) {
  SamplingOptions options;
  options.max_tokens = 20;
  const std::vector<int32_t> first = continue_prompt({1}, options);
  EXPECT_EQ(first.size(), 20U);
  EXPECT_EQ(continue_prompt({1}, options), first);
  options.seed = 43;
  EXPECT_NE(continue_prompt({1}, options), first);
  options.top_k = 1;
  EXPECT_EQ(continue_prompt({1}, options), continue_prompt({1}, greedy(20)));
}

TEST_F(Generate, RefusesInvalidOptions) {
  EXPECT_THROW(continue_prompt({}, greedy(1)), InputError);
  EXPECT_THROW(continue_prompt({1, 50}, greedy(1)), InputError);
  EXPECT_THROW(continue_prompt({-1}, greedy(1)), InputError);
  EXPECT_THROW(continue_prompt({1}, greedy(0)), InputError);
  for (double temperature : {-0.5, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    SamplingOptions options;
    options.temperature = temperature;
    EXPECT_THROW(continue_prompt({1}, options), InputError) << temperature;
  }
  for (double top_p : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    SamplingOptions options;
    options.top_p = top_p;
    EXPECT_THROW(continue_prompt({1}, options), InputError) << top_p;
  }
  SamplingOptions options;
  options.top_k = -1;
  EXPECT_THROW(continue_prompt({1}, options), InputError);
}

}  // namespace
}  // namespace lighthouse
