#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "lighthouse/core/error.h"
#include "lighthouse/core/random.h"
#include "lighthouse/eval/generator.h"

namespace lighthouse {
namespace {

/// Tokens that may be drawn, in the order of their numbers, and how likely each is relative to the likeliest.
struct Candidates {
  std::vector<int32_t> tokens;
  std::vector<double> weights;

  double total() const { return std::accumulate(weights.begin(), weights.end(), 0.0); }
};

void keep_top_k(std::vector<int32_t>& tokens, const float* logits, int64_t k) {
  if (k <= 0 || k >= static_cast<int64_t>(tokens.size())) return;
  const auto likelier = [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  std::nth_element(tokens.begin(), tokens.begin() + (k - 1), tokens.end(), likelier);
  tokens.resize(static_cast<size_t>(k));
  std::sort(tokens.begin(), tokens.end());
}

/// The fewest candidates, likeliest first, whose share of the whole is p.
void keep_top_p(Candidates& candidates, double p) {
  if (p >= 1) return;
  const double total = candidates.total();
  // All that are lighter than this weigh less than 1 - p together, so that they need not be sorted.
  const double light = (1 - p) * total / static_cast<double>(candidates.tokens.size());
  std::vector<size_t> order;
  for (size_t i = 0; i < candidates.tokens.size(); ++i) {
    if (candidates.weights[i] >= light) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return candidates.weights[a] > candidates.weights[b]; });
  double sum = 0;
  size_t kept = 0;
  while (kept < order.size() && sum < p * total) sum += candidates.weights[order[kept++]];
  order.resize(std::max<size_t>(kept, 1));
  std::sort(order.begin(), order.end());
  Candidates fewer;
  for (size_t i : order) {
    fewer.tokens.push_back(candidates.tokens[i]);
    fewer.weights.push_back(candidates.weights[i]);
  }
  candidates = std::move(fewer);
}

}  // namespace

int32_t sample(const float* logits, int64_t vocab_size, const SamplingOptions& options, uint64_t number) {
  if (std::any_of(logits, logits + vocab_size, [](float logit) { return std::isnan(logit); })) {
    throw RunError("the model's logits are not numbers: its weights are broken");
  }
  const auto likeliest = static_cast<int32_t>(std::max_element(logits, logits + vocab_size) - logits);
  if (options.temperature == 0) return likeliest;
  Candidates candidates;
  candidates.tokens.resize(static_cast<size_t>(vocab_size));
  std::iota(candidates.tokens.begin(), candidates.tokens.end(), 0);
  keep_top_k(candidates.tokens, logits, options.top_k);
  const double largest = logits[likeliest];
  for (int32_t token : candidates.tokens) {
    candidates.weights.push_back(std::exp((static_cast<double>(logits[token]) - largest) / options.temperature));
  }
  keep_top_p(candidates, options.top_p);
  std::vector<double> cumulative(candidates.weights.size());
  std::partial_sum(candidates.weights.begin(), candidates.weights.end(), cumulative.begin());
  const double drawn = RandomStream(options.seed, "generate").uniform(number) * cumulative.back();
  const auto place = std::upper_bound(cumulative.begin(), cumulative.end(), drawn) - cumulative.begin();
  return candidates.tokens[std::min(static_cast<size_t>(place), candidates.tokens.size() - 1)];
}

}  // namespace lighthouse
