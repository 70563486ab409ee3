// The retrieval test of the Lighthouse Attention paper: one digit hidden in filler text. A model that uses its whole
// context gives that digit the largest logit of the ten; guessing succeeds one time in ten.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lighthouse/data/tokenizer.h"
#include "lighthouse/model/attention/settings.h"
#include "lighthouse/model/config.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

struct RetrievalPrompt {
  std::vector<int32_t> tokens;         // the model predicts the token after these
  std::array<int32_t, 10> candidates;  // the token of each digit at that position
  int digit = 0;                       // the hidden digit
  int64_t hidden_at = 0;               // position of the sentence with the digit
};

/// Makes prompts: filler, a sentence that states a digit, more filler, and the sentence again up to its digit.
class RetrievalTask {
 public:
  /// `filler` is split into sentences at full stops and line ends; "" selects a built-in text. Throws InputError if the
  /// filler has no sentence, or if the tokenizer does not encode each digit as a token of its own.
  explicit RetrievalTask(const Tokenizer& tokenizer, std::string_view filler = "");

  /// The length of the shortest possible prompt, in tokens.
  int64_t shortest() const;

  /// A prompt of exactly `length` tokens. The digit's sentence is inserted at the sentence boundary nearest to the
  /// fraction `depth` (0: start, 1: end) of the filler. Trials 0 to 9 hide different digits; the filler and the order
  /// of digits depend on seed, length and depth. Throws InputError if `length` is below shortest() or `depth` outside
  /// [0, 1].
  RetrievalPrompt prompt(int64_t length, double depth, int64_t trial, uint64_t seed) const;

 private:
  /// Consecutive filler sentences, ending with number `last`, of `tokens` tokens in total. The first sentence may lack
  /// its start.
  std::vector<std::vector<int32_t>> filler_of(int64_t tokens, size_t last) const;

  std::vector<std::vector<int32_t>> filler_;        // sentences
  std::array<std::vector<int32_t>, 10> sentences_;  // the sentence for each digit
  std::vector<int32_t> question_;
  std::array<int32_t, 10> candidates_{};
};

struct RetrievalOptions {
  std::vector<int64_t> lengths;  // in tokens
  int64_t depths = 7;            // evenly spaced from 0 to 1
  int64_t trials = 10;           // for each length and depth
  uint64_t seed = 42;
  AttentionKind kind = AttentionKind::kDense;
  AttentionSettings attention;
};

struct RetrievalCell {
  int64_t length = 0;
  double depth = 0;
  int64_t correct = 0;
  int64_t trials = 0;
};

/// The digit whose candidate token has the largest logit, the smallest among equals.
int retrieved_digit(const RetrievalPrompt& prompt, const std::vector<float>& logits);

/// Runs the test. Returns one cell for each length and depth, lengths outermost. `progress` is called after each trial
/// with the number of trials done and their total, and may throw to stop. Throws InputError for options out of range,
/// and RunError if a logit is NaN.
std::vector<RetrievalCell> test_retrieval(const RetrievalTask& task, const ModelConfig& config,
                                          const Parameters& weights, Backend& backend, const RetrievalOptions& options,
                                          const std::function<void(int64_t done, int64_t of)>& progress);

/// The fraction of correct trials over all cells.
double accuracy(const std::vector<RetrievalCell>& cells);

}  // namespace lighthouse
