// The numbers of a pyramid as kernels want them: no divisions by computed powers, 32 bits.
#pragma once

#include <cuda_runtime.h>

#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/check.h"

namespace lighthouse::cuda {

struct Pyramid {
  static constexpr int kMaxLevels =
      31;  // entries are numbered in 31 bits, and a level has at most half of the one below
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

/// A selection for batches of `batch`, and settings that Pyramid can hold.
inline bool fits(const LighthouseSelection& selection, int64_t batch, const LighthouseShape& shape) {
  const Tensor &indices = selection.indices, &rows = selection.rows;
  return indices.rank() == 3 && indices.size(0) == batch && indices.size(1) > 0 &&
         shape.levels <= Pyramid::kMaxLevels && have_shape({batch, indices.size(1), shape.gathered()}, indices) &&
         have_shape({batch, indices.size(1), shape.all_entries()}, rows) && contiguous(indices, rows);
}

}  // namespace lighthouse::cuda
