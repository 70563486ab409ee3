// The retrieval test of the Lighthouse Attention paper: one digit hidden in filler. A model that reads its whole
// context gives the largest of the ten digits' logits to that digit; one that does not is right one time in ten.
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
  std::vector<int32_t> tokens;         // the next one is asked for
  std::array<int32_t, 10> candidates;  // the token of each digit there
  int digit = 0;                       // what was hidden
  int64_t hidden_at = 0;               // where its sentence begins
};

/// Writes prompts: filler, somewhere in it a sentence that tells a digit, more filler, and that sentence once more up
/// to its digit.
class RetrievalTask {
 public:
  /// `filler` is cut into sentences (at full stops and line ends); "" is for a few sentences about a harbour. Throws
  /// InputError if it has none, or if the tokenizer does not give each digit a token of its own.
  explicit RetrievalTask(const Tokenizer& tokenizer, std::string_view filler = "");

  /// The shortest prompt that can be written, in tokens.
  int64_t shortest() const;

  /// A prompt of exactly `length` tokens, the digit's sentence at the end of the filler's sentence nearest to the part
  /// `depth` (0: start, 1: end) of it. Of trials 0 to 9 each hides another digit; filler and order of digits follow
  /// from seed, length and depth. Throws InputError if `length` is below shortest() or depth outside [0, 1].
  RetrievalPrompt prompt(int64_t length, double depth, int64_t trial, uint64_t seed) const;

 private:
  /// Sentences, up to number `last`, that together have so many tokens: the first of them may lack its start.
  std::vector<std::vector<int32_t>> filler_of(int64_t tokens, size_t last) const;

  std::vector<std::vector<int32_t>> filler_;        // sentences
  std::array<std::vector<int32_t>, 10> sentences_;  // that tell each digit
  std::vector<int32_t> question_;
  std::array<int32_t, 10> candidates_{};
};

struct RetrievalOptions {
  std::vector<int64_t> lengths;  // in tokens
  int64_t depths = 7;            // from 0 to 1, evenly
  int64_t trials = 10;           // of each length and depth
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

/// The digit, of ten, whose candidate has the largest logit; the smallest of equals.
int retrieved_digit(const RetrievalPrompt& prompt, const std::vector<float>& logits);

/// One cell a length and depth, lengths outermost. `progress` is told after each trial how many are done of how many,
/// and may throw to give up. Throws InputError for options out of range, and RunError if the logits are not numbers.
std::vector<RetrievalCell> test_retrieval(const RetrievalTask& task, const ModelConfig& config,
                                          const Parameters& weights, Backend& backend, const RetrievalOptions& options,
                                          const std::function<void(int64_t done, int64_t of)>& progress);

/// The share of all trials that were right.
double accuracy(const std::vector<RetrievalCell>& cells);

}  // namespace lighthouse
