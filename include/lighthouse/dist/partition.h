// How vectors and counts are split among ranks.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lighthouse {

struct IndexRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// Shards begin at multiples of so many elements: 256 bytes of float32, aligned for vector loads.
inline constexpr int64_t kShardAlignment = 64;

/// The shard of `rank` of `size` in a vector of `numel` elements: consecutive units of kShardAlignment, as evenly as
/// possible. All shards are equal where numel is a multiple of size * kShardAlignment.
inline IndexRange shard_range(int64_t numel, int size, int rank) {
  const int64_t units = (numel + kShardAlignment - 1) / kShardAlignment;
  const auto begin = [&](int64_t r) { return std::min(numel, units * r / size * kShardAlignment); };
  return {begin(rank), begin(rank + 1)};
}

/// The same without alignment, for micro-batches and windows of validation.
inline IndexRange split_evenly(int64_t count, int size, int rank) {
  return {count * rank / size, count * (rank + 1) / size};
}

}  // namespace lighthouse
