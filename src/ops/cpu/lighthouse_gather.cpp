// Gather and scatter between the sequence [B, N, X, D] and the gathered rows [B, S, X, D], and their transposes. Each
// is written as a gather: every output row is the sum of a few input rows, in a fixed order.
#include <algorithm>

#include "cpu_backend.h"
#include "heads.h"
#include "lighthouse/ops/check.h"

namespace lighthouse::cpu {
namespace {

// The pyramid in the form the inner loops want: no divisions by computed powers, no calls.
struct Pyramid {
  static constexpr int kMaxLevels = 32;  // all entries are numbered in 31 bits
  int levels;
  int64_t length;
  int64_t spans[kMaxLevels];
  int64_t offsets[kMaxLevels];

  explicit Pyramid(const LighthouseShape& shape)
      : levels(static_cast<int>(shape.levels)), length(shape.sequence_length) {
    for (int level = 0; level < levels; ++level) {
      spans[level] = shape.span(level);
      offsets[level] = shape.offset(level);
    }
  }
  int level_of(int64_t entry) const {
    int level = levels - 1;
    while (entry < offsets[level]) --level;
    return level;
  }
};

struct Row {
  float* data;
  int64_t size;

  void clear() const { std::fill_n(data, size, 0.0f); }
  void add(const float* other, float factor) const {
#pragma omp simd
    for (int64_t d = 0; d < size; ++d) data[d] += factor * other[d];
  }
  void scale(float factor) const {
#pragma omp simd
    for (int64_t d = 0; d < size; ++d) data[d] *= factor;
  }
};

// The sum of rows [begin, end) of a head, each lane in the order of the tokens.
void sum_run(const Row& out, ConstMatrix x, int64_t begin, int64_t end) {
  out.clear();
  for (int64_t token = begin; token < end; ++token) out.add(x.data + token * x.stride, 1.0f);
}

// Calls function(batch, begin, end, head) for blocks of rows of every head, in parallel. A thread's block stays in its
// cache while the levels of the pyramid read it again.
template <typename Function>
void for_each_block(int64_t batches, int64_t rows, int64_t heads, const Function& function) {
  constexpr int64_t kRows = 128;
  const int64_t blocks = (rows + kRows - 1) / kRows;
#pragma omp parallel for schedule(dynamic, 4)
  for (int64_t task = 0; task < batches * blocks * heads; ++task) {
    const int64_t head = task % heads, block = task / heads % blocks, batch = task / heads / blocks;
    function(batch, block * kRows, std::min(rows, (block + 1) * kRows), head);
  }
}

// full [B, N, X, D], gathered [B, S, X, D], index [B, G, S or E]; X a multiple of G.
void check(const char* operation, const Tensor& full, const Tensor& gathered, const Tensor& index, int64_t entries,
           const LighthouseShape& shape) {
  require(has_heads(full) && has_heads(gathered) && full.size(1) == shape.sequence_length &&
              have_shape({full.size(0), shape.gathered(), full.size(2), full.size(3)}, gathered) && index.rank() == 3 &&
              index.size(0) == full.size(0) && index.size(1) > 0 && full.size(2) % index.size(1) == 0 &&
              index.size(2) == entries && contiguous(index) && shape.levels <= Pyramid::kMaxLevels,
          operation, {&full, &gathered, &index});
}

/// The selection that a head of `heads` uses.
const int32_t* selection_of(const Tensor& index, int64_t batch, int64_t head, int64_t heads) {
  return index.data<int32_t>() + (batch * index.size(1) + head / (heads / index.size(1))) * index.size(2);
}

}  // namespace

void CpuBackend::lighthouse_gather(const Stream&, const Tensor& gathered, const Tensor& x, const Tensor& indices,
                                   const LighthouseShape& shape) {
  check("lighthouse_gather", x, gathered, indices, shape.gathered(), shape);
  const Pyramid pyramid(shape);
  for_each_block(x.size(0), gathered.size(1), x.size(2), [&](int64_t batch, int64_t begin, int64_t end, int64_t head) {
    const int32_t* entry = selection_of(indices, batch, head, x.size(2));
    const ConstMatrix from = const_head_of(x, batch, head, x.size(2));
    for (int64_t m = begin; m < end; ++m) {
      const int level = pyramid.level_of(entry[m]);
      const int64_t span = pyramid.spans[level], first = (entry[m] - pyramid.offsets[level]) * span;
      const Row row{rows_from(head_of(gathered, batch, head), m).data, x.size(3)};
      sum_run(row, from, first, first + span);
      row.scale(1.0f / static_cast<float>(span));
    }
  });
}

void CpuBackend::lighthouse_gather_backward(const Stream&, const Tensor& dx, const Tensor& dgathered,
                                            const Tensor& rows, const LighthouseShape& shape) {
  check("lighthouse_gather_backward", dx, dgathered, rows, shape.all_entries(), shape);
  const Pyramid pyramid(shape);
  for_each_block(dx.size(0), dx.size(1), dx.size(2), [&](int64_t batch, int64_t begin, int64_t end, int64_t head) {
    const int32_t* row_of = selection_of(rows, batch, head, dx.size(2));
    const ConstMatrix from = const_head_of(dgathered, batch, head, dx.size(2));
    for (int64_t token = begin; token < end; ++token) {
      const Row out{rows_from(head_of(dx, batch, head), token).data, dx.size(3)};
      out.clear();
      for (int level = 0; level < pyramid.levels; ++level) {
        const int64_t row = row_of[pyramid.offsets[level] + token / pyramid.spans[level]];
        if (row >= 0) out.add(from.data + row * from.stride, 1.0f / static_cast<float>(pyramid.spans[level]));
      }
    }
  });
}

void CpuBackend::lighthouse_scatter(const Stream&, const Tensor& out, const Tensor& gathered, const Tensor& rows,
                                    const LighthouseShape& shape) {
  check("lighthouse_scatter", out, gathered, rows, shape.all_entries(), shape);
  const Pyramid pyramid(shape);
  for_each_block(out.size(0), out.size(1), out.size(2), [&](int64_t batch, int64_t begin, int64_t end, int64_t head) {
    const int32_t* row_of = selection_of(rows, batch, head, out.size(2));
    const ConstMatrix from = const_head_of(gathered, batch, head, out.size(2));
    for (int64_t token = begin; token < end; ++token) {
      const Row to{rows_from(head_of(out, batch, head), token).data, out.size(3)};
      to.clear();
      for (int level = 0; level < pyramid.levels; ++level) {
        const int64_t entry = (token + 1) / pyramid.spans[level] - 1;
        const int64_t row = entry < 0 ? -1 : row_of[pyramid.offsets[level] + entry];
        if (row >= 0) to.add(from.data + row * from.stride, 1.0f);
      }
    }
  });
}

void CpuBackend::lighthouse_scatter_backward(const Stream&, const Tensor& dgathered, const Tensor& dout,
                                             const Tensor& indices, const LighthouseShape& shape) {
  check("lighthouse_scatter_backward", dout, dgathered, indices, shape.gathered(), shape);
  const Pyramid pyramid(shape);
  const int64_t heads = dout.size(2);
  for_each_block(dout.size(0), dgathered.size(1), heads, [&](int64_t batch, int64_t begin, int64_t end, int64_t head) {
    const int32_t* entry = selection_of(indices, batch, head, heads);
    const ConstMatrix from = const_head_of(dout, batch, head, heads);
    for (int64_t m = begin; m < end; ++m) {
      const int level = pyramid.level_of(entry[m]);
      const int64_t span = pyramid.spans[level];
      const int64_t first = (entry[m] - pyramid.offsets[level]) * span + span - 1;
      sum_run({rows_from(head_of(dgathered, batch, head), m).data, dout.size(3)}, from, first,
              std::min(first + span, pyramid.length));
    }
  });
}

}  // namespace lighthouse::cpu
