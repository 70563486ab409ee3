#include "lighthouse/eval/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>

#include "lighthouse/core/error.h"
#include "lighthouse/core/random.h"
#include "lighthouse/model/llama.h"
#include "lighthouse/ops/transfer.h"

namespace lighthouse {
namespace {

/// The model at a few lengths: a prefix runs in the shortest that holds it. What follows it is padding that a causal
/// model does not see.
class PrefixModel {
 public:
  PrefixModel(const ModelConfig& config, const Parameters& weights, Backend& backend)
      : config_(config), weights_(weights), backend_(backend) {}

  /// The logits after the last of `tokens`.
  std::vector<float> next_logits(const std::vector<int32_t>& tokens) {
    constexpr int64_t kStep = 64;
    const auto length = static_cast<int64_t>(tokens.size());
    At& at = model_at((length + kStep - 1) / kStep * kStep);
    std::vector<int32_t> padded(static_cast<size_t>(at.inputs.numel()), 0);
    std::copy(tokens.begin(), tokens.end(), padded.begin());
    upload(backend_, at.inputs, {padded.data(), at.inputs.shape(), DType::kInt32});
    const Stream stream = backend_.compute_stream();
    at.model->forward(stream, weights_, at.inputs);
    at.model->logits(stream, at.logits, weights_, length - 1);
    return download<float>(backend_, at.logits);
  }

 private:
  struct At {
    Arena arena;
    std::unique_ptr<Llama> model;
    Tensor inputs;
    Tensor logits;

    void lay_out(Arena& in, int64_t length, const ModelConfig& config, DType dtype) {
      inputs = in.allocate(MemoryUse::kBatch, {1, length}, DType::kInt32);
      logits = in.allocate(MemoryUse::kScratch, {1, config.padded_vocab_size()}, dtype);
      model->lay_out(in);
    }
  };

  At& model_at(int64_t length) {
    At& at = models_[length];
    if (at.model) return at;
    PassSettings settings;
    settings.sequence_length = length;
    settings.rope_theta = config_.rope_theta;
    settings.backward = false;
    at.model = std::make_unique<Llama>(config_, settings, backend_);
    Arena measuring;
    at.lay_out(measuring, length, config_, backend_.dtype());
    at.arena = Arena(backend_.allocate(measuring.used()));
    at.lay_out(at.arena, length, config_, backend_.dtype());
    at.model->prepare(backend_.compute_stream());
    return at;
  }

  const ModelConfig& config_;
  const Parameters& weights_;
  Backend& backend_;
  std::map<int64_t, At> models_;
};

void check(const std::vector<int32_t>& prompt, int64_t context, const ModelConfig& config,
           const SamplingOptions& options) {
  if (context < 1) throw InputError(fmt::format("the context is {} tokens; expected at least 1", context));
  if (prompt.empty()) throw InputError("the prompt is empty; give at least one character");
  for (int32_t token : prompt) {
    if (token < 0 || token >= config.token_count()) {
      throw InputError(
          fmt::format("the prompt holds token {}; the model's vocabulary is 0 to {}", token, config.token_count() - 1));
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
    const int32_t token = sample(logits.data(), config.token_count(), options, static_cast<uint64_t>(i));
    if (token == end_token) return;
    tokens.push_back(token);
    emit(token);
  }
}

}  // namespace lighthouse
