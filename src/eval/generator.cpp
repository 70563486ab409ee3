#include "lighthouse/eval/generator.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "lighthouse/core/error.h"
#include "lighthouse/eval/decoding.h"

namespace lighthouse {
namespace {

void check(const std::vector<int32_t>& prompt, int64_t context, const ModelConfig& config,
           const SamplingOptions& options) {
  if (context < 1) throw InputError(fmt::format("the context is {} tokens; expected at least 1", context));
  if (prompt.empty()) throw InputError("the prompt is empty; give at least one character");
  for (int32_t token : prompt) {
    if (token < 0 || token >= config.token_count()) {
      throw InputError(fmt::format("the prompt has token {}; expected 0 to {}, the model's vocabulary", token,
                                   config.token_count() - 1));
    }
  }
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw InputError(fmt::format("temperature is {}; expected 0 or more", options.temperature));
  }
  if (options.top_k < 0 || options.max_tokens < 1) {
    throw InputError(
        fmt::format("top_k is {} and max_tokens {}; expected at least 0 and 1", options.top_k, options.max_tokens));
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    throw InputError(fmt::format("top_p is {}; expected above 0, up to 1", options.top_p));
  }
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The last `count` tokens, or all if there are fewer.
void keep_last(std::vector<int32_t>& tokens, int64_t count) {
  const auto size = static_cast<int64_t>(tokens.size());
  if (size > count) tokens.erase(tokens.begin(), tokens.begin() + (size - count));
}

}  // namespace

GenerationTimes generate(const ModelConfig& config, const Parameters& weights, Backend& backend,
                         std::vector<int32_t> prompt, int64_t context, int32_t end_token,
                         const SamplingOptions& options, const std::function<void(int32_t)>& emit) {
  check(prompt, context, config, options);
  const auto given = static_cast<int64_t>(prompt.size());
  const bool fits = given < context && options.max_tokens < context - given;
  Decoding decoding(config, weights, fits ? given + options.max_tokens : context, backend);
  std::vector<int32_t>& tokens = prompt;
  keep_last(tokens, context);
  GenerationTimes times;
  times.prompt_tokens = static_cast<int64_t>(tokens.size());
  auto start = std::chrono::steady_clock::now();
  std::vector<float> whole = decoding.start(tokens);
  std::span<const float> logits = whole;
  times.prompt_seconds = seconds_since(start);
  start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < options.max_tokens; ++i) {
    const int32_t token = sample(logits.data(), config.token_count(), options, static_cast<uint64_t>(i));
    if (token == end_token) break;
    emit(token);
    tokens.push_back(token);
    if (i + 1 == options.max_tokens) break;
    if (decoding.length() < decoding.context()) {
      logits = decoding.append(token);
    } else {
      keep_last(tokens, context - context / 4);
      whole = decoding.start(tokens);
      logits = whole;
    }
    ++times.tokens;
    times.seconds = seconds_since(start);
  }
  return times;
}

}  // namespace lighthouse
