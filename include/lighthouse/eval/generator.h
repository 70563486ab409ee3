// Sampling and text generation.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lighthouse/model/config.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

struct SamplingOptions {
  int64_t max_tokens = 256;
  double temperature = 1.0;  // 0: greedy
  int64_t top_k = 0;         // sample from the k most likely tokens; 0: from all
  double top_p = 1.0;        // nucleus sampling (Holtzman et al., 2020); 1: off
  uint64_t seed = 42;
};

/// Draws a token from `logits`, of which the first vocab_size count. `number` is the index of the draw in the seed's
/// random stream. Throws RunError if a logit is NaN.
int32_t sample(const float* logits, int64_t vocab_size, const SamplingOptions& options, uint64_t number);

/// The duration of generation.
struct GenerationTimes {
  int64_t prompt_tokens = 0;
  double prompt_seconds = 0;  // until the logits of the first generated token
  int64_t tokens = 0;         // generated tokens after the first
  double seconds = 0;         // for those tokens
};

/// Continues `prompt` until max_tokens or `end_token`, and calls `emit` with each token. Uses dense attention, or the
/// model's own windows. The model sees at most the last `context` tokens: when they are full, the oldest quarter is
/// dropped and the rest is read again. Throws InputError for an empty prompt, a token outside the vocabulary, or
/// options out of range.
GenerationTimes generate(const ModelConfig& config, const Parameters& weights, Backend& backend,
                         std::vector<int32_t> prompt, int64_t context, int32_t end_token,
                         const SamplingOptions& options, const std::function<void(int32_t)>& emit);

}  // namespace lighthouse
