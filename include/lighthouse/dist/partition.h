// How a vector is split among ranks.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lighthouse {

struct Piece {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

/// Elements that are never split: 256 bytes of float32, so that pieces begin where kernels like it.
inline constexpr int64_t kPieceUnit = 64;

/// The piece of a vector of `numel` elements that belongs to `rank` of `size`: units in order, as even as they go. All
/// are equal where numel is a multiple of size * kPieceUnit.
inline Piece piece_of(int64_t numel, int size, int rank) {
  const int64_t units = (numel + kPieceUnit - 1) / kPieceUnit;
  const auto place = [&](int64_t r) { return std::min(numel, units * r / size * kPieceUnit); };
  return {place(rank), place(rank + 1)};
}

/// The same for things that are counted one by one: micro-batches, windows of evaluation.
inline Piece share_of(int64_t count, int size, int rank) {
  return {count * rank / size, count * (rank + 1) / size};
}

}  // namespace lighthouse
