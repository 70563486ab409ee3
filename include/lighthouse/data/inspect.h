// Statistics and decoded samples of token shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "lighthouse/data/shard.h"
#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

/// Token statistics over shards. Call add() for each shard.
struct TokenCounts {
  int64_t tokens = 0;
  int64_t documents = 0;    // end-of-text tokens
  int64_t outside = 0;      // tokens outside the vocabulary
  int64_t longest_run = 0;  // longest run of one repeated token
  int32_t run_token = 0;
  std::vector<int64_t> of_token;  // [V] occurrences

  /// Counts one shard. `of_token` must have the vocabulary's size.
  void add(const TokenShard& shard, int32_t end_of_text);
  /// The number of tokens of the vocabulary that occur.
  int64_t distinct() const;
  /// The entropy of the token frequencies, in bits per token.
  double entropy() const;
  /// The `count` most frequent tokens and their counts; equally frequent ones in the order of their ids.
  std::vector<std::pair<int32_t, int64_t>> most_frequent(int64_t count) const;
};

/// One decoded token on one line: "<end of text>", or its text in quotation marks.
std::string format_token(const Tokenizer& tokenizer, int32_t token);

/// Decodes `count` tokens from `begin` on one line. Control characters and bytes that are not UTF-8 are escaped; ends
/// of text appear as "<end of text>".
std::string decode_sample(const TokenShard& shard, const Tokenizer& tokenizer, int64_t begin, int64_t count);

}  // namespace lighthouse
