#include "lighthouse/eval/bigram.h"

#include <cmath>
#include <vector>

#include "lighthouse/data/shard.h"

namespace lighthouse {
namespace {

/// Calls `visit(previous, next)` for each pair of neighbours within a shard.
template <typename Visit>
void for_each_pair(const std::string& pattern, int64_t vocab_size, const Visit& visit) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  for (const auto& path : match_files(pattern)) {
    const TokenShard shard(path);
    shard.check_vocabulary(vocab_size);
    std::vector<int32_t> tokens;
    for (int64_t begin = 0; begin + 1 < shard.size(); begin += kPiece) {
      tokens.resize(static_cast<size_t>(std::min(kPiece + 1, shard.size() - begin)));
      shard.read(begin, tokens);
      for (size_t i = 0; i + 1 < tokens.size(); ++i) visit(tokens[i], tokens[i + 1]);
    }
  }
}

}  // namespace

double bigram_loss(const std::vector<std::string>& train, const std::string& validation, int64_t vocab_size) {
  const auto v = static_cast<size_t>(vocab_size);
  std::vector<int64_t> pairs(v * v);
  std::vector<int64_t> firsts(v);
  for (const std::string& pattern : train) {
    for_each_pair(pattern, vocab_size, [&](int32_t a, int32_t b) {
      ++pairs[static_cast<size_t>(a) * v + static_cast<size_t>(b)];
      ++firsts[static_cast<size_t>(a)];
    });
  }
  double sum = 0;
  int64_t count = 0;
  for_each_pair(validation, vocab_size, [&](int32_t a, int32_t b) {
    const auto seen = static_cast<double>(pairs[static_cast<size_t>(a) * v + static_cast<size_t>(b)] + 1);
    sum -= std::log(seen / static_cast<double>(firsts[static_cast<size_t>(a)] + vocab_size));
    ++count;
  });
  return sum / static_cast<double>(count);
}

}  // namespace lighthouse
