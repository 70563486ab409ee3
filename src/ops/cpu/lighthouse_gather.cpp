// Gather and scatter between the sequence [B, N, X, D] and the gathered rows [B, S, X, D], and their transposes. Each
// is written as a gather: every output row is the sum of a few input rows, in a fixed order. X is the number of heads
// of a fused qkv, or of the query heads.
#include <algorithm>

#include "cpu_backend.h"
#include "heads.h"
#include "lighthouse/ops/check.h"

namespace lighthouse::cpu {
namespace {

// The pyramid's sizes as tables, so that inner loops compute no powers.
struct Pyramid {
  static constexpr int kMaxLevels = 32;  // all entries are numbered in 31 bits
  int levels;
  int64_t length;
  int64_t spans[kMaxLevels];
  int64_t offsets[kMaxLevels];

  explicit Pyramid(const LighthouseShape& shape)
      : levels(static_cast<int>(shape.levels)), length(shape.sequence_length) {
    require(shape.levels <= kMaxLevels, "Lighthouse Attention on the CPU", {});
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

// The sum of rows [begin, end) of a head, in the order of the tokens.
void sum_run(const Row& out, ConstMatrix x, int64_t begin, int64_t end) {
  out.clear();
  for (int64_t token = begin; token < end; ++token) out.add(x.data + token * x.stride, 1.0f);
}

// Rotary position embedding of single rows; false if it was constructed from empty tensors.
class Rotation {
 public:
  Rotation(const Tensor& cos, const Tensor& sin) {
    if (cos.rank() == 0) return;
    cos_ = cos.data<float>();
    sin_ = sin.data<float>();
    half_ = cos.size(1);
  }
  explicit operator bool() const { return half_ > 0; }

  // The sum of rows [begin, end) of a head, each rotated by its position.
  void sum_run(const Row& out, ConstMatrix x, int64_t begin, int64_t end) const {
    out.clear();
    for (int64_t token = begin; token < end; ++token) add_rotated(out.data, x.data + token * x.stride, token);
  }
  // Rotates a row back, in place.
  void rotate_back(float* x, int64_t position) const {
    const float *cos = cos_ + position * half_, *sin = sin_ + position * half_;
    float* second = x + half_;
#pragma omp simd
    for (int64_t i = 0; i < half_; ++i) {
      const float a = x[i], b = second[i];
      x[i] = a * cos[i] + b * sin[i];
      second[i] = b * cos[i] - a * sin[i];
    }
  }

 private:
  void add_rotated(float* out, const float* x, int64_t position) const {
    const float *cos = cos_ + position * half_, *sin = sin_ + position * half_, *second = x + half_;
    float* out_second = out + half_;
#pragma omp simd
    for (int64_t i = 0; i < half_; ++i) {
      out[i] += x[i] * cos[i] - second[i] * sin[i];
      out_second[i] += second[i] * cos[i] + x[i] * sin[i];
    }
  }

  const float *cos_ = nullptr, *sin_ = nullptr;
  int64_t half_ = 0;
};

// Calls function(batch, begin, end, head) for blocks of rows of every head, in parallel. A block stays in the thread's
// cache while all levels of the pyramid read it.
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

// Initializes `out` for the sum of both branches: to half of the window branch's row, or to 0 without a window branch.
// Returns the factor of the Lighthouse branch. `out` may be a row of `window`.
float start_from(const Row& out, const Tensor& window, int64_t batch, int64_t token, int64_t head) {
  if (window.rank() == 0) {
    out.clear();
    return 1.0f;
  }
  const float* row = rows_from(head_of(window, batch, head), token).data;
#pragma omp simd
  for (int64_t d = 0; d < out.size; ++d) out.data[d] = 0.5f * row[d];
  return 0.5f;
}

// The part of the selection (indices or rows) of one key/value head, and the key/value head of a head of `full`.
const int32_t* of_group(const Tensor& index, int64_t batch, int64_t group) {
  return index.data<int32_t>() + (batch * index.size(1) + group) * index.size(2);
}
int64_t group_of_query(int64_t head, int64_t heads, int64_t groups) {
  return head / (heads / groups);
}
int64_t group_of_fused(int64_t head, int64_t all, int64_t groups) {
  const int64_t heads = all - 2 * groups;
  return head < heads ? group_of_query(head, heads, groups) : (head - heads) % groups;
}

}  // namespace

void CpuBackend::do_lighthouse_gather(const Stream&, const Tensor& gathered, const Tensor& qkv,
                                      const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                      const LighthouseShape& shape) {
  const Pyramid pyramid(shape);
  const Rotation rotation(cos, sin);
  const int64_t heads = qkv.size(2), groups = selection.indices.size(1);
  for_each_block(qkv.size(0), gathered.size(1), heads, [&](int64_t batch, int64_t begin, int64_t end, int64_t head) {
    const int32_t* entry = of_group(selection.indices, batch, group_of_fused(head, heads, groups));
    const ConstMatrix from = const_head_of(qkv, batch, head, heads);
    for (int64_t m = begin; m < end; ++m) {
      const int level = pyramid.level_of(entry[m]);
      const int64_t span = pyramid.spans[level], first = (entry[m] - pyramid.offsets[level]) * span;
      const Row row{rows_from(head_of(gathered, batch, head), m).data, qkv.size(3)};
      if (rotation && head < heads - groups) {
        rotation.sum_run(row, from, first, first + span);
      } else {
        sum_run(row, from, first, first + span);
      }
      row.scale(1.0f / static_cast<float>(span));
    }
  });
}

void CpuBackend::do_lighthouse_gather_backward(const Stream&, const Tensor& dqkv, const Tensor& dgathered,
                                               const LighthouseSelection& selection, const Tensor& cos,
                                               const Tensor& sin, const LighthouseShape& shape,
                                               const Tensor& window_dqkv) {
  const Pyramid pyramid(shape);
  const Rotation rotation(cos, sin);
  const int64_t heads = dqkv.size(2), groups = selection.indices.size(1);
  for_each_block(dqkv.size(0), dqkv.size(1), heads, [&](int64_t batch, int64_t begin, int64_t end, int64_t head) {
    const int32_t* row_of = of_group(selection.rows, batch, group_of_fused(head, heads, groups));
    const ConstMatrix from = const_head_of(dgathered, batch, head, heads);
    for (int64_t token = begin; token < end; ++token) {
      const Row out{rows_from(head_of(dqkv, batch, head), token).data, dqkv.size(3)};
      const float share = start_from(out, window_dqkv, batch, token, head);
      for (int level = 0; level < pyramid.levels; ++level) {
        const int64_t row = row_of[pyramid.offsets[level] + token / pyramid.spans[level]];
        if (row >= 0) out.add(from.data + row * from.stride, share / static_cast<float>(pyramid.spans[level]));
      }
      if (rotation && head < heads - groups) rotation.rotate_back(out.data, token);
    }
  });
}

void CpuBackend::do_lighthouse_scatter(const Stream&, const Tensor& out, const Tensor& gathered,
                                       const LighthouseSelection& selection, const LighthouseShape& shape,
                                       const Tensor& window_out) {
  const Pyramid pyramid(shape);
  const int64_t heads = out.size(2), groups = selection.indices.size(1);
  for_each_block(out.size(0), out.size(1), heads, [&](int64_t batch, int64_t begin, int64_t end, int64_t head) {
    const int32_t* row_of = of_group(selection.rows, batch, group_of_query(head, heads, groups));
    const ConstMatrix from = const_head_of(gathered, batch, head, heads);
    for (int64_t token = begin; token < end; ++token) {
      const Row to{rows_from(head_of(out, batch, head), token).data, out.size(3)};
      const float share = start_from(to, window_out, batch, token, head);
      for (int level = 0; level < pyramid.levels; ++level) {
        const int64_t entry = (token + 1) / pyramid.spans[level] - 1;
        const int64_t row = entry < 0 ? -1 : row_of[pyramid.offsets[level] + entry];
        if (row >= 0) to.add(from.data + row * from.stride, share);
      }
    }
  });
}

void CpuBackend::do_lighthouse_scatter_backward(const Stream&, const Tensor& dgathered, const Tensor& dout,
                                                const LighthouseSelection& selection, const LighthouseShape& shape) {
  const Pyramid pyramid(shape);
  const int64_t heads = dout.size(2), groups = selection.indices.size(1);
  for_each_block(dout.size(0), dgathered.size(1), heads, [&](int64_t batch, int64_t begin, int64_t end, int64_t head) {
    const int32_t* entry = of_group(selection.indices, batch, group_of_query(head, heads, groups));
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
