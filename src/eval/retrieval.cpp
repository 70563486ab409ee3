#include "lighthouse/eval/retrieval.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "lighthouse/core/error.h"
#include "lighthouse/core/random.h"
#include "lighthouse/eval/forward_pass.h"

namespace lighthouse {
namespace {

constexpr std::string_view kHarbour =
    "Rain fell on the quiet harbour. The boats came home before dark. A lamp was lit in the window of the inn. "
    "Nobody in the street was in a hurry. The baker had sold all of his bread. Gulls slept on the roofs along the "
    "quay. The wind had turned to the west. An old dog lay by the door and listened. ";
constexpr std::string_view kSentence = "The secret digit is ";

std::vector<int32_t> encode(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

/// Splits text into sentences, each with the separator after it.
std::vector<std::string> sentences_of(std::string_view text) {
  std::vector<std::string> sentences;
  std::string sentence;
  for (size_t i = 0; i < text.size(); ++i) {
    sentence += text[i];
    const bool after_stop = text[i] == ' ' && i > 0 && text[i - 1] == '.';
    if (!after_stop && text[i] != '\n') continue;
    sentences.push_back(sentence);
    sentence.clear();
  }
  if (!sentence.empty()) sentences.push_back(sentence + " ");
  std::erase_if(sentences, [](const std::string& s) { return s.find_first_not_of(" \t\r\n") == std::string::npos; });
  return sentences;
}

void append(std::vector<int32_t>& to, const std::vector<int32_t>& tokens) {
  to.insert(to.end(), tokens.begin(), tokens.end());
}

void check_length(int64_t length, int64_t shortest) {
  if (length >= shortest) return;
  throw InputError(fmt::format("the length of retrieval prompts is {} tokens; expected at least {}", length, shortest));
}

void check(const RetrievalOptions& options, const RetrievalTask& task) {
  if (options.lengths.empty()) throw InputError("the retrieval test needs at least one length");
  for (const int64_t length : options.lengths) check_length(length, task.shortest());
  if (options.depths < 2) throw InputError(fmt::format("depths is {}; expected at least 2", options.depths));
  if (options.trials < 1) throw InputError(fmt::format("trials is {}; expected at least 1", options.trials));
}

}  // namespace

RetrievalTask::RetrievalTask(const Tokenizer& tokenizer, std::string_view filler) {
  for (const std::string& sentence : sentences_of(filler.empty() ? kHarbour : filler)) {
    filler_.push_back(encode(tokenizer, sentence));
  }
  if (filler_.empty()) throw InputError("the filler has no sentence; give a longer text");
  std::array<std::vector<int32_t>, 10> asked;
  for (size_t digit = 0; digit < 10; ++digit) {
    asked[digit] = encode(tokenizer, std::string(kSentence) + std::to_string(digit));
    sentences_[digit] = encode(tokenizer, std::string(kSentence) + std::to_string(digit) + ". ");
  }
  // A tokenizer may join the space and the digit, so the question ends at the first token that depends on the digit.
  size_t common = 0;
  const auto all_have = [&](int32_t token) {
    return std::all_of(asked.begin(), asked.end(),
                       [&](const auto& tokens) { return common < tokens.size() && tokens[common] == token; });
  };
  while (common < asked[0].size() && all_have(asked[0][common])) ++common;
  question_.assign(asked[0].begin(), asked[0].begin() + static_cast<int64_t>(common));
  for (size_t digit = 0; digit < 10; ++digit) {
    if (asked[digit].size() > common) candidates_[digit] = asked[digit][common];
    if (asked[digit].size() != common + 1)
      throw InputError("the retrieval test needs a tokenizer that encodes a digit as one token");
  }
  if (question_.empty() || std::set<int32_t>(candidates_.begin(), candidates_.end()).size() != 10) {
    throw InputError("the retrieval test needs a tokenizer that encodes the ten digits as different tokens");
  }
}

int64_t RetrievalTask::shortest() const {
  return static_cast<int64_t>(question_.size() + sentences_[0].size());
}

std::vector<std::vector<int32_t>> RetrievalTask::filler_of(int64_t tokens, size_t last) const {
  std::vector<std::vector<int32_t>> filler;  // last sentence first
  int64_t written = 0;
  for (size_t next = last; written < tokens; next = (next + filler_.size() - 1) % filler_.size()) {
    filler.push_back(filler_[next]);
    written += static_cast<int64_t>(filler_[next].size());
  }
  if (!filler.empty()) filler.back().erase(filler.back().begin(), filler.back().begin() + (written - tokens));
  std::reverse(filler.begin(), filler.end());
  return filler;
}

RetrievalPrompt RetrievalTask::prompt(int64_t length, double depth, int64_t trial, uint64_t seed) const {
  check_length(length, shortest());
  if (!(depth >= 0 && depth <= 1)) throw InputError(fmt::format("depth is {}; expected 0 to 1", depth));
  const RandomStream random(seed, fmt::format("retrieval.{}.{:.6f}", length, depth));
  RetrievalPrompt prompt;
  prompt.candidates = candidates_;
  prompt.digit = static_cast<int>(Permutation(10, random)(static_cast<uint64_t>(trial) % 10));
  const std::vector<int32_t>& sentence = sentences_[static_cast<size_t>(prompt.digit)];
  const int64_t filler_tokens = length - static_cast<int64_t>(question_.size() + sentence.size());
  const auto last = static_cast<size_t>(random.bits(100 + static_cast<uint64_t>(trial)) % filler_.size());
  const std::vector<std::vector<int32_t>> filler = filler_of(filler_tokens, last);

  const double wanted = depth * static_cast<double>(filler_tokens);
  size_t before = 0;  // number of filler sentences before the digit's sentence
  for (int64_t end = 0; before < filler.size(); ++before) {
    const auto size = static_cast<int64_t>(filler[before].size());
    if (static_cast<double>(end) + static_cast<double>(size) / 2 > wanted) break;
    end += size;
  }
  for (size_t i = 0; i < before; ++i) append(prompt.tokens, filler[i]);
  prompt.hidden_at = static_cast<int64_t>(prompt.tokens.size());
  append(prompt.tokens, sentence);
  for (size_t i = before; i < filler.size(); ++i) append(prompt.tokens, filler[i]);
  append(prompt.tokens, question_);
  return prompt;
}

int retrieved_digit(const RetrievalPrompt& prompt, const std::vector<float>& logits) {
  const auto logit = [&](int digit) {
    return logits[static_cast<size_t>(prompt.candidates[static_cast<size_t>(digit)])];
  };
  int best = 0;
  for (int digit = 0; digit < 10; ++digit) {
    if (std::isnan(logit(digit))) throw RunError("the model's logits are NaN; its weights may be damaged");
    if (logit(digit) > logit(best)) best = digit;
  }
  return best;
}

std::vector<RetrievalCell> test_retrieval(const RetrievalTask& task, const ModelConfig& config,
                                          const Parameters& weights, Backend& backend, const RetrievalOptions& options,
                                          const std::function<void(int64_t done, int64_t of)>& progress) {
  check(options, task);
  const int64_t all = static_cast<int64_t>(options.lengths.size()) * options.depths * options.trials;
  int64_t done = 0;
  std::vector<RetrievalCell> cells;
  for (const int64_t length : options.lengths) {
    PassSettings settings;
    settings.sequence_length = length;
    settings.rope_theta = config.rope_theta;
    settings.kind = options.kind;
    settings.attention = options.attention;
    ForwardPass pass(config, settings, backend);
    for (int64_t d = 0; d < options.depths; ++d) {
      RetrievalCell cell{length, static_cast<double>(d) / static_cast<double>(options.depths - 1), 0, options.trials};
      for (int64_t trial = 0; trial < options.trials; ++trial) {
        const RetrievalPrompt prompt = task.prompt(length, cell.depth, trial, options.seed);
        if (retrieved_digit(prompt, pass.next_logits(weights, prompt.tokens)) == prompt.digit) ++cell.correct;
        progress(++done, all);
      }
      cells.push_back(cell);
    }
  }
  return cells;
}

double accuracy(const std::vector<RetrievalCell>& cells) {
  double correct = 0;
  double trials = 0;
  for (const RetrievalCell& cell : cells) {
    correct += static_cast<double>(cell.correct);
    trials += static_cast<double>(cell.trials);
  }
  return trials > 0 ? correct / trials : 0;
}

}  // namespace lighthouse
