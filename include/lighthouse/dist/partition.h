// How a vector is split among ranks.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lighthouse {

struct IndexRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// Elements that are never split: 256 bytes of float32, so that pieces begin where kernels like it.
inline constexpr int64_t kShardAlignment = 64;

/// The piece of a vector of `numel` elements that belongs to `rank` of `size`: units in order, as even as they go. All
/// are equal where numel is a multiple of size * kShardAlignment.
inline IndexRange shard_range(int64_t numel, int size, int rank) {
  const int64_t units = (numel + kShardAlignment - 1) / kShardAlignment;
  const auto place = [&](int64_t r) { return std::min(numel, units * r / size * kShardAlignment); };
  return {place(rank), place(rank + 1)};
}

/// The same for things that are counted one by one: micro-batches, windows of evaluation.
inline IndexRange split_evenly(int64_t count, int size, int rank) {
  return {count * rank / size, count * (rank + 1) / size};
}

}  // namespace lighthouse
