// What is in a token shard, and what is wrong with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "lighthouse/data/shard.h"
#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

/// Counts over the tokens of shards.
struct TokenCounts {
  int64_t tokens = 0;
  int64_t documents = 0;    // ends of text
  int64_t outside = 0;      // tokens outside the vocabulary
  int64_t longest_run = 0;  // of one token that repeats
  int32_t run_token = 0;
  std::vector<int64_t> of_token;  // [V]

  /// Counts one more shard. `of_token` must have the size of the vocabulary.
  void add(const TokenShard& shard, int32_t end_of_text);
  /// Tokens that occur.
  int64_t distinct() const;
  /// Bits a token, if each were drawn by its share.
  double entropy() const;
  /// The `count` most frequent tokens, with their counts, the lower number first of those equally frequent.
  std::vector<std::pair<int32_t, int64_t>> most_frequent(int64_t count) const;
};

/// One token, decoded, on one line: "<end of text>", or its bytes between quotation marks.
std::string shown_token(const Tokenizer& tokenizer, int32_t token);

/// `count` tokens from `begin` on, decoded: control characters and what is not UTF-8 are escaped, ends of text shown.
std::string sample_of(const TokenShard& shard, const Tokenizer& tokenizer, int64_t begin, int64_t count);

}  // namespace lighthouse
