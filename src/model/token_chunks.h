// Tokens in chunks, where a tensor for all of them would be too large.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lighthouse {

/// The size of about equal chunks of at most `limit` tokens: a multiple of 128, or all tokens.
inline int64_t tokens_per_chunk(int64_t tokens, int64_t limit) {
  const int64_t fitting = std::max<int64_t>(128, limit / 128 * 128);
  const int64_t chunks = (tokens + fitting - 1) / fitting;
  const int64_t even = (tokens + chunks - 1) / chunks;
  return std::min(tokens, (even + 127) / 128 * 128);
}

/// Calls body(begin, end) for each chunk, in order.
template <typename Body>
void for_each_chunk(int64_t tokens, int64_t chunk, const Body& body) {
  for (int64_t begin = 0; begin < tokens; begin += chunk) body(begin, std::min(begin + chunk, tokens));
}

}  // namespace lighthouse
