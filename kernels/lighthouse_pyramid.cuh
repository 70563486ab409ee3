// The sizes of a pyramid as 32-bit tables for kernels.
#pragma once

#include <cuda_runtime.h>

#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/check.h"

namespace lighthouse::cuda {

struct Pyramid {
  static constexpr int kMaxLevels = 31;  // entries are numbered in 31 bits; a level has at most half the entries below
  int levels = 0, pooling = 0;
  int length = 0;               // N
  int spans[kMaxLevels];        // tokens under an entry of a level
  int offsets[kMaxLevels + 1];  // the number of a level's entry 0; after the last level, of all entries

  explicit Pyramid(const LighthouseShape& shape)
      : levels(static_cast<int>(shape.levels)),
        pooling(static_cast<int>(shape.pooling_factor)),
        length(static_cast<int>(shape.sequence_length)) {
    for (int level = 0; level < levels; ++level) spans[level] = static_cast<int>(shape.span(level));
    for (int level = 0; level <= levels; ++level) offsets[level] = static_cast<int>(shape.offset(level));
  }

  __host__ __device__ int entries(int level) const { return offsets[level + 1] - offsets[level]; }
  __host__ __device__ int all_entries() const { return offsets[levels]; }
};

/// Throws std::logic_error if Pyramid cannot hold the levels.
inline void check_levels(const LighthouseShape& shape) {
  require(shape.levels <= Pyramid::kMaxLevels, "Lighthouse Attention on a GPU", {});
}

}  // namespace lighthouse::cuda
