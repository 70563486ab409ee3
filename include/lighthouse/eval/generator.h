// Text from a model.
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
  double temperature = 1.0;  // 0: always the likeliest token
  int64_t top_k = 0;         // sample among the k likeliest; 0: among all
  double top_p = 1.0;  // and of these among the fewest that together have this probability (Holtzman et al., 2020)
  uint64_t seed = 42;
};

/// The index of the token drawn from `logits` (the first vocab_size of them). `number` counts the draws of a seed.
/// Throws RunError if a logit is not a number.
int32_t sample(const float* logits, int64_t vocab_size, const SamplingOptions& options, uint64_t number);

/// How long generation took.
struct GenerationTimes {
  int64_t prompt_tokens = 0;
  double prompt_seconds = 0;  // until the first token's logits
  int64_t tokens = 0;         // after the first
  double seconds = 0;         // for these
};

/// Continues `prompt`, in dense attention or the layers' own windows, until max_tokens or `end_token`; each token is
/// handed to `emit` as it comes. Sees at most the last `context` tokens: when they are full, the older quarter is
/// forgotten and the rest read again. Throws InputError for an empty prompt, a token outside the vocabulary, or options
/// out of range.
GenerationTimes generate(const ModelConfig& config, const Parameters& weights, Backend& backend,
                         std::vector<int32_t> prompt, int64_t context, int32_t end_token,
                         const SamplingOptions& options, const std::function<void(int32_t)>& emit);

}  // namespace lighthouse
