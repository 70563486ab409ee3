// Shards for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <numeric>
#include <vector>

#include "lighthouse/data/shard.h"

namespace lighthouse {

inline void write_shard(const std::filesystem::path& path, const std::vector<int32_t>& tokens,
                        int bytes_per_token = 2) {
  ShardWriter writer(path, bytes_per_token);
  writer.append(tokens);
  writer.commit();
}

/// first, first + 1, ..., `count` of them.
inline std::vector<int32_t> counting(int32_t first, int64_t count) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

inline std::vector<int32_t> read_all(const TokenShard& shard) {
  std::vector<int32_t> tokens(static_cast<size_t>(shard.size()));
  shard.read(0, tokens);
  return tokens;
}

}  // namespace lighthouse
