#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "lighthouse/core/error.h"
#include "lighthouse/core/random.h"
#include "lighthouse/eval/generator.h"

namespace lighthouse {
namespace {

/// The tokens that may be drawn, in ascending order, and their probabilities relative to the most likely token.
struct Candidates {
  std::vector<int32_t> tokens;
  std::vector<double> weights;

  double total() const { return std::accumulate(weights.begin(), weights.end(), 0.0); }
};

/// The largest logit, or NaN if any is NaN.
float largest_of(const float* logits, int64_t count) {
  float largest = -std::numeric_limits<float>::infinity();
  int broken = 0;
#pragma omp simd reduction(max : largest) reduction(| : broken)
  for (int64_t i = 0; i < count; ++i) {
    largest = logits[i] > largest ? logits[i] : largest;
    broken |= logits[i] != logits[i] ? 1 : 0;
  }
  return broken != 0 ? std::numeric_limits<float>::quiet_NaN() : largest;
}

/// The index of the largest logit, the first of equals. Finds its block first, because the compiler vectorises only
/// that loop.
int32_t likeliest_of(const float* logits, int64_t count) {
  constexpr int64_t kBlock = 1024;
  float largest = -std::numeric_limits<float>::infinity();
  int64_t first = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const float here = largest_of(logits + begin, std::min(kBlock, count - begin));
    if (std::isnan(here)) throw RunError("the model's logits are NaN; its weights may be damaged");
    if (here > largest) {
      largest = here;
      first = begin;
    }
  }
  return static_cast<int32_t>(std::find(logits + first, logits + count - 1, largest) - logits);
}

/// The k most likely tokens, the first among equals; all tokens if k is 0.
std::vector<int32_t> top_k(const float* logits, int64_t count, int64_t k) {
  std::vector<int32_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  if (k <= 0 || k >= count) return all;
  const auto likelier = [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  std::vector<int32_t> tokens(static_cast<size_t>(k));
  std::partial_sort_copy(all.begin(), all.end(), tokens.begin(), tokens.end(), likelier);
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

/// The fewest candidates, most likely first, whose probabilities add up to at least p.
void keep_top_p(Candidates& candidates, double p) {
  if (p >= 1) return;
  const double total = candidates.total();
  // Candidates below this weight have less than 1 - p in total, so they need no sorting.
  const double light = (1 - p) * total / static_cast<double>(candidates.tokens.size());
  std::vector<size_t> order;
  for (size_t i = 0; i < candidates.tokens.size(); ++i) {
    if (candidates.weights[i] >= light) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(candidates.weights[b], a) < std::pair(candidates.weights[a], b);
  });
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
  const int32_t likeliest = likeliest_of(logits, vocab_size);
  if (options.temperature == 0) return likeliest;
  Candidates candidates;
  candidates.tokens = top_k(logits, vocab_size, options.top_k);
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
