#include "lighthouse/eval/retrieval.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <span>

#include "lighthouse/core/error.h"
#include "model/tiny_llama.h"

namespace lighthouse {
namespace {

std::string text_of(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens) {
  std::string text;
  for (int32_t token : tokens) text += tokenizer.decode(token);
  return text;
}

/// Bytes, except that a space and a digit are one token: 300 to 309.
class JoiningTokenizer final : public Tokenizer {
 public:
  std::string name() const override { return "joining"; }
  int64_t vocab_size() const override { return 310; }
  int32_t end_of_text() const override { return 256; }
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == ' ' && i + 1 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '9') {
        tokens.push_back(300 + text[++i] - '0');
      } else {
        tokens.push_back(static_cast<unsigned char>(text[i]));
      }
    }
  }
  std::string decode(int32_t token) const override { return std::string(1, static_cast<char>(token)); }
};

/// Bytes, except that every digit is "#".
class DigitBlindTokenizer final : public Tokenizer {
 public:
  std::string name() const override { return "blind"; }
  int64_t vocab_size() const override { return 256; }
  int32_t end_of_text() const override { return 255; }
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    for (char c : text) tokens.push_back(c >= '0' && c <= '9' ? '#' : static_cast<unsigned char>(c));
  }
  std::string decode(int32_t token) const override { return std::string(1, static_cast<char>(token)); }
};

class RetrievalPrompts : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> bytes_ = make_tokenizer("bytes");
  RetrievalTask task_{*bytes_};
};

TEST_F(RetrievalPrompts, ContainTheDigitOnceAndAskForIt) {
  for (int64_t trial = 0; trial < 10; ++trial) {
    const RetrievalPrompt prompt = task_.prompt(500, 0.5, trial, 1);
    ASSERT_EQ(prompt.tokens.size(), 500U);
    const std::string text = text_of(*bytes_, prompt.tokens);
    const std::string told = "The secret digit is " + std::to_string(prompt.digit) + ". ";
    EXPECT_EQ(text.find(told), static_cast<size_t>(prompt.hidden_at)) << text;
    EXPECT_EQ(text.substr(480), "The secret digit is ") << text;
    EXPECT_EQ(std::count_if(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }), 1) << text;
  }
}

TEST_F(RetrievalPrompts, LieAtTheirDepth) {
  for (int64_t length : {200, 1000, 4096}) {
    const auto room = static_cast<double>(length - task_.shortest());
    for (double depth : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      const RetrievalPrompt prompt = task_.prompt(length, depth, 3, 7);
      EXPECT_EQ(prompt.tokens.size(), static_cast<size_t>(length));
      EXPECT_NEAR(static_cast<double>(prompt.hidden_at), depth * room, 30) << length;  // half a sentence
    }
    EXPECT_EQ(task_.prompt(length, 0, 3, 7).hidden_at, 0);
    EXPECT_EQ(task_.prompt(length, 1, 3, 7).hidden_at, length - task_.shortest());
  }
}

TEST_F(RetrievalPrompts, TenTrialsHideTenDigits) {
  std::set<int> digits;
  std::set<std::vector<int32_t>> fillers;
  for (int64_t trial = 0; trial < 10; ++trial) {
    const RetrievalPrompt prompt = task_.prompt(300, 0.5, trial, 1);
    digits.insert(prompt.digit);
    fillers.insert({prompt.tokens.begin(), prompt.tokens.begin() + 60});
  }
  EXPECT_EQ(digits.size(), 10U);
  EXPECT_GT(fillers.size(), 3U) << "the filler is always the same";
}

TEST_F(RetrievalPrompts, AreTheSameForASeed) {
  EXPECT_EQ(task_.prompt(300, 0.5, 4, 1).tokens, task_.prompt(300, 0.5, 4, 1).tokens);
  EXPECT_NE(task_.prompt(300, 0.5, 4, 1).tokens, task_.prompt(300, 0.5, 4, 2).tokens);
}

TEST_F(RetrievalPrompts, UseAnyFiller) {
  const RetrievalTask task(*bytes_, "int main() {\n\nreturn 0;\n}\n");
  const std::string text = text_of(*bytes_, task.prompt(200, 0.5, 0, 1).tokens);
  EXPECT_NE(text.find("int main() {\nreturn 0;\n}\nint main"), std::string::npos) << text;
  EXPECT_THROW(RetrievalTask(*bytes_, " \n\n "), InputError);
}

TEST_F(RetrievalPrompts, RefuseInvalidArguments) {
  EXPECT_EQ(task_.prompt(task_.shortest(), 0.5, 0, 1).tokens.size(), static_cast<size_t>(task_.shortest()));
  EXPECT_THROW(task_.prompt(task_.shortest() - 1, 0.5, 0, 1), InputError);
  EXPECT_THROW(task_.prompt(300, 1.5, 0, 1), InputError);
}

TEST(RetrievalTokens, ADigitMayBeJoinedWithTheSpaceBeforeIt) {
  const JoiningTokenizer tokenizer;
  const RetrievalPrompt prompt = RetrievalTask(tokenizer).prompt(300, 0.5, 0, 1);
  for (int digit = 0; digit < 10; ++digit) EXPECT_EQ(prompt.candidates[static_cast<size_t>(digit)], 300 + digit);
  EXPECT_EQ(prompt.tokens.back(), 's') << "the question holds the space that the candidates hold";
  EXPECT_EQ(std::count(prompt.tokens.begin(), prompt.tokens.end(), 300 + prompt.digit), 1);
}

TEST(RetrievalTokens, ATokenizerMustDistinguishDigits) {
  EXPECT_THROW(RetrievalTask{DigitBlindTokenizer()}, InputError);
}

TEST(RetrievedDigit, IsTheLargestOfTheCandidates) {
  RetrievalPrompt prompt;
  for (int digit = 0; digit < 10; ++digit) prompt.candidates[static_cast<size_t>(digit)] = 2 * digit;
  std::vector<float> logits(30, -1);
  logits[7] = 9;  // not a candidate
  logits[12] = 1;
  logits[14] = 1;
  EXPECT_EQ(retrieved_digit(prompt, logits), 6);
  logits[18] = 2;
  EXPECT_EQ(retrieved_digit(prompt, logits), 9);
  logits[4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(retrieved_digit(prompt, logits), RunError);
}

class RetrievalTest : public testing::Test {
 protected:
  static ModelConfig config() {
    ModelConfig config = tiny_config();
    config.vocab_size = 257;
    return config;
  }

  std::vector<RetrievalCell> test(const RetrievalOptions& options) {
    return test_retrieval(task_, llama_.config, llama_.weights, *llama_.backend, options,
                          [&](int64_t done, int64_t of) { told_.emplace_back(done, of); });
  }

  std::unique_ptr<Tokenizer> bytes_ = make_tokenizer("bytes");
  RetrievalTask task_{*bytes_};
  TinyLlama llama_{config(), dense_pass(1, 8)};
  std::vector<std::pair<int64_t, int64_t>> told_;
};

TEST_F(RetrievalTest, CountsTheModelsAnswers) {
  RetrievalOptions options;
  options.lengths = {60, 100};
  options.depths = 3;
  options.trials = 4;
  const std::vector<RetrievalCell> cells = test(options);
  ASSERT_EQ(cells.size(), 6U);
  ASSERT_EQ(told_.size(), 24U);
  EXPECT_EQ(told_.back(), (std::pair<int64_t, int64_t>(24, 24)));
  int64_t correct = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    EXPECT_EQ(cells[i].length, i < 3 ? 60 : 100);
    EXPECT_DOUBLE_EQ(cells[i].depth, 0.5 * static_cast<double>(i % 3));
    int64_t expected = 0;
    for (int64_t trial = 0; trial < 4; ++trial) {
      const RetrievalPrompt prompt = task_.prompt(cells[i].length, cells[i].depth, trial, options.seed);
      TinyLlama exact(config(), dense_pass(1, cells[i].length));
      exact.set_batch(prompt.tokens, prompt.tokens);
      exact.model.forward(exact.stream, llama_.weights, exact.inputs);
      std::vector<float> logits(static_cast<size_t>(exact.config.padded_vocab_size()));
      exact.model.logits(exact.stream, Tensor(logits.data(), {1, exact.config.padded_vocab_size()}, DType::kFloat32),
                         llama_.weights, cells[i].length - 1);
      if (retrieved_digit(prompt, logits) == prompt.digit) ++expected;
    }
    EXPECT_EQ(cells[i].correct, expected) << i;
    correct += expected;
  }
  EXPECT_DOUBLE_EQ(accuracy(cells), static_cast<double>(correct) / 24);
}

TEST_F(RetrievalTest, AConstantAnswerIsRightOneTimeInTen) {
  for (float& weight : std::span(llama_.weights.lm_head.data<float>(), size_t{257} * 32)) weight = 0;
  RetrievalOptions options;
  options.lengths = {64};
  options.depths = 2;
  for (const RetrievalCell& cell : test(options)) EXPECT_EQ(cell.correct, 1);
}

TEST_F(RetrievalTest, RefusesOptionsOutOfRange) {
  RetrievalOptions good;
  good.lengths = {64};
  RetrievalOptions none = good, short_one = good, one_depth = good, no_trial = good;
  none.lengths.clear();
  short_one.lengths = {64, task_.shortest() - 1};
  one_depth.depths = 1;
  no_trial.trials = 0;
  for (const RetrievalOptions& options : {none, short_one, one_depth, no_trial}) {
    EXPECT_THROW(test(options), InputError);
  }
  EXPECT_TRUE(told_.empty());
}

}  // namespace
}  // namespace lighthouse
