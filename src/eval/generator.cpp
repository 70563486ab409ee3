#include "lighthouse/eval/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>

#include "lighthouse/core/error.h"
#include "lighthouse/core/random.h"
#include "lighthouse/eval/forward_pass.h"

namespace lighthouse {
namespace {

/// The model at a few lengths: a prefix runs in the shortest that holds it.
class PrefixModel {
 public:
  PrefixModel(const ModelConfig& config, const Parameters& weights, Backend& backend)
      : config_(config), weights_(weights), backend_(backend) {}

  /// The logits after the last of `tokens`.
  std::vector<float> next_logits(const std::vector<int32_t>& tokens) {
    constexpr int64_t kStep = 64;
    const auto length = static_cast<int64_t>(tokens.size());
    auto& pass = passes_[(length + kStep - 1) / kStep * kStep];
    if (!pass) pass = make_pass((length + kStep - 1) / kStep * kStep);
    return pass->next_logits(weights_, tokens);
  }

 private:
  std::unique_ptr<ForwardPass> make_pass(int64_t length) {
    PassSettings settings;
    settings.sequence_length = length;
    settings.rope_theta = config_.rope_theta;
    return std::make_unique<ForwardPass>(config_, settings, backend_);
  }

  const ModelConfig& config_;
  const Parameters& weights_;
  Backend& backend_;
  std::map<int64_t, std::unique_ptr<ForwardPass>> passes_;
};

void check(const std::vector<int32_t>& prompt, int64_t context, const ModelConfig& config,
           const SamplingOptions& options) {
  if (context < 1) throw InputError(fmt::format("the context is {} tokens; expected at least 1", context));
  if (prompt.empty()) throw InputError("the prompt is empty; give at least one character");
  for (int32_t token : prompt) {
    if (token < 0 || token >= config.vocab_size) {
      throw InputError(
          fmt::format("the prompt holds token {}; the model's vocabulary is 0 to {}", token, config.vocab_size - 1));
    }
  }
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    throw InputError(fmt::format("temperature is {}; expected 0 or more", options.temperature));
  }
  if (options.top_k < 0 || options.max_tokens < 1) {
    throw InputError(
        fmt::format("top_k is {} and max_tokens {}; expected at least 0 and 1", options.top_k, options.max_tokens));
  }
}

}  // namespace

int32_t sample(const float* logits, int64_t vocab_size, const SamplingOptions& options, uint64_t number) {
  if (std::any_of(logits, logits + vocab_size, [](float logit) { return std::isnan(logit); })) {
    throw RunError("the model's logits are not numbers: its weights are broken");
  }
  std::vector<int32_t> order(static_cast<size_t>(vocab_size));
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  if (options.temperature == 0) return *std::min_element(order.begin(), order.end(), likelier);
  if (options.top_k > 0 && options.top_k < vocab_size) {
    std::nth_element(order.begin(), order.begin() + (options.top_k - 1), order.end(), likelier);
    order.resize(static_cast<size_t>(options.top_k));
    std::sort(order.begin(), order.end());
  }
  const float largest = logits[*std::min_element(order.begin(), order.end(), likelier)];
  std::vector<double> cumulative;
  double sum = 0;
  for (int32_t token : order) {
    sum += std::exp((static_cast<double>(logits[token]) - largest) / options.temperature);
    cumulative.push_back(sum);
  }
  const double drawn = RandomStream(options.seed, "generate").uniform(number) * sum;
  const auto place = std::upper_bound(cumulative.begin(), cumulative.end(), drawn) - cumulative.begin();
  return order[std::min(static_cast<size_t>(place), order.size() - 1)];
}

void generate(const ModelConfig& config, const Parameters& weights, Backend& backend, std::vector<int32_t> prompt,
              int64_t context, int32_t end_token, const SamplingOptions& options,
              const std::function<void(int32_t)>& emit) {
  check(prompt, context, config, options);
  PrefixModel model(config, weights, backend);
  std::vector<int32_t>& tokens = prompt;
  for (int64_t i = 0; i < options.max_tokens; ++i) {
    const auto length = static_cast<int64_t>(tokens.size());
    if (length > context) tokens.erase(tokens.begin(), tokens.begin() + (length - context));
    const std::vector<float> logits = model.next_logits(tokens);
    const int32_t token = sample(logits.data(), config.vocab_size, options, static_cast<uint64_t>(i));
    if (token == end_token) return;
    tokens.push_back(token);
    emit(token);
  }
}

}  // namespace lighthouse
