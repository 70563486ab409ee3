#include "lighthouse/eval/bigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <vector>

#include "lighthouse/core/error.h"
#include "lighthouse/data/shard.h"

namespace lighthouse {
namespace {

/// Calls visit(previous, next) for each pair of consecutive tokens in a shard.
template <typename Visit>
void for_each_pair(const std::string& pattern, int64_t vocab_size, const Visit& visit) {
  for (const auto& path : match_files(pattern)) {
    int32_t previous = -1;
    const auto visit_block = [&](std::span<const int32_t> tokens) {
      for (const int32_t token : tokens) {
        if (previous >= 0) visit(previous, token);
        previous = token;
      }
    };
    TokenShard(path).for_each_block(visit_block, vocab_size);
  }
}

struct PairCount {
  int64_t trained = 0;
  int64_t validated = 0;
};

uint64_t key_of(int32_t previous, int32_t next) {
  return static_cast<uint64_t>(previous) << 32 | static_cast<uint32_t>(next);
}

}  // namespace

double bigram_loss(const std::vector<std::string>& train, const std::string& validation, int64_t vocab_size) {
  // Counts only the pairs of the validation text: a table of all pairs would have vocab_size^2 entries.
  std::unordered_map<uint64_t, PairCount> pairs;
  int64_t count = 0;
  for_each_pair(validation, vocab_size, [&](int32_t a, int32_t b) {
    ++pairs[key_of(a, b)].validated;
    ++count;
  });
  if (count == 0)
    throw InputError(fmt::format("{}: no shard has two tokens; expected at least one pair to predict", validation));
  std::vector<int64_t> firsts(static_cast<size_t>(vocab_size));
  for (const std::string& pattern : train) {
    for_each_pair(pattern, vocab_size, [&](int32_t a, int32_t b) {
      ++firsts[static_cast<size_t>(a)];
      const auto pair = pairs.find(key_of(a, b));
      if (pair != pairs.end()) ++pair->second.trained;
    });
  }
  double sum = 0;
  for (const auto& [key, pair] : pairs) {
    const auto seen = static_cast<double>(pair.trained + 1);
    const auto of = static_cast<double>(firsts[key >> 32] + vocab_size);
    sum -= static_cast<double>(pair.validated) * std::log(seen / of);
  }
  return sum / static_cast<double>(count);
}

}  // namespace lighthouse
