// Gather and scatter between the sequence and the gathered rows. Two kernels: one gathers rows from tokens (gather, and
// the backward of scatter), one scatters rows to tokens (scatter, and the backward of gather). Both read and write
// every token once, whatever the order of the gathered entries, without atomics.
//
// The gathered row of entry (l, i) is the mean of the tokens under it; its output goes to the same tokens, moved by one
// entry of its level less one token. In places j' = j + 1 these are the places under entry (l, i + 1). So with `shift`
// 0 for gathering and 1 for scattering, place j' = j + shift is under entry (l, j' / p^l - shift) in both cases.
#include <algorithm>
#include <cstdint>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/ops/check.h"
#include "lighthouse_pyramid.cuh"
#include "pack_pair.cuh"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

// The fastest values as measured on an H100: places that a thread loads before it uses the first, and blocks that must
// fit on a multiprocessor.
constexpr int kBlock = 128;  // largest number of threads
constexpr int kGatherAhead = 4, kGatherBlocks = 4;
constexpr int kScatterAhead = 2, kScatterBlocks = 8;
constexpr int kFewLevels = 6;  // up to this a thread keeps the sums of all levels in registers

/// A tensor [B, N or S, X, D].
template <typename T>
struct Heads {
  T* data;
  int64_t batch_stride, row_stride, head_stride;

  __device__ T* at(int batch, int head, int column) const {
    return data + batch * batch_stride + head * head_stride + column;
  }
};

template <typename T>
Heads<T> heads_of(const Tensor& x) {
  return {data_of<std::remove_const_t<T>>(x), x.stride(0), x.stride(1), x.stride(2)};
}

template <typename T>
struct Operands {
  Heads<const T> from;
  Heads<T> to;
  const int* rows;                             // [B, G, E]
  const float *cos = nullptr, *sin = nullptr;  // [N, D/2]
  Pyramid pyramid;
  int shift;                   // 0 to gather, 1 to scatter
  int heads, groups;           // X, G
  int queries;                 // number of query heads, which come before the heads of keys and values
  int rotated = 0;             // number of leading heads that are rotated
  int half;                    // D/2
  int parts = 0;               // parts of a sequence
  Heads<const T> window = {};  // window branch, shaped as `to`, which becomes the mean of both; null: none

  /// The index of the selection that a head uses, counted over all batch entries.
  __device__ int64_t selection_of(int batch, int head) const {
    const int group = head < queries ? head / (queries / groups) : (head - queries) % groups;
    return int64_t{batch} * groups + group;
  }
  __device__ const int* rows_of(int batch, int head) const {
    return rows + selection_of(batch, head) * pyramid.all_entries();
  }
  /// The factor of an entry's sum: a gathered row is its tokens' mean, a gradient of scatter their sum.
  __device__ float scale(int level) const {
    return shift == 0 ? 1.0f / static_cast<float>(pyramid.spans[level]) : 1.0f;
  }
};

/// Calls work(batch, part, head, column) for each head of this thread. x indexes the packs of half a head, y the heads,
/// z the parts of a sequence.
template <typename T, typename Work>
__device__ void for_each_head(const Operands<T>& o, int size, const Work& work) {
  const int part = static_cast<int>(blockIdx.x * blockDim.z + threadIdx.z);
  if (part >= o.parts) return;
  for (int head = static_cast<int>(threadIdx.y); head < o.heads; head += static_cast<int>(blockDim.y)) {
    work(static_cast<int>(blockIdx.y), part, head, static_cast<int>(threadIdx.x) * size);
  }
}

/// Computes the rows of an entry of the coarsest level and of all entries under it, for a pack of a head. Loads are
/// issued well before their values are used.
template <typename T, int kSize, int kLevels>
class Gatherer {
 public:
  __device__ Gatherer(const Operands<T>& operands, int batch, int part, int head, int column)
      : o_(operands),
        top_(operands.pyramid.levels - 1),
        first_(part * operands.pyramid.spans[top_]),
        rotates_(head < operands.rotated),
        column_(column),
        rows_(operands.rows_of(batch, head)),
        from_(operands.from.at(batch, head, column)),
        to_(operands.to.at(batch, head, column)),
        row_of_top_(row_of(top_, part - operands.shift)),
        open_entry_(part * (operands.pyramid.spans[top_] / operands.pyramid.pooling) - operands.shift),
        places_left_(operands.pyramid.pooling) {}

  __device__ void run() {
    const int places = o_.pyramid.spans[top_];
    for (int begin = 0; begin < places; begin += kGatherAhead) {
      Place ahead[kGatherAhead];
#pragma unroll
      for (int i = 0; i < kGatherAhead; ++i) look_up(ahead[i], begin + i, begin + i < places);
#pragma unroll
      for (int i = 0; i < kGatherAhead; ++i) {
        if (begin + i < places) take(ahead[i], begin + i);
      }
    }
  }

 private:
  /// The values loaded for a place.
  struct Place {
    PackPair<T, kSize> pair;
    int row = -1;         // of the token's level-0 entry
    bool closes = false;  // whether an entry of level 1 ends here
    int closed_row = -1;  // the row of that entry
  };

  __device__ int row_of(int level, int entry) const {
    return entry >= 0 && entry < o_.pyramid.entries(level) ? rows_[o_.pyramid.offsets[level] + entry] : -1;
  }

  __device__ void look_up(Place& place, int number, bool exists) {
    place.pair.clear();
    if (!exists) return;
    const int token = first_ + number - o_.shift;
    if (token >= 0 && token < o_.pyramid.length) {
      place.row = rows_[token];
      place.pair.load(from_ + token * o_.from.row_stride, o_.half);
    }
    if (--places_left_ > 0) return;
    place.closes = true;
    place.closed_row = row_of(1, open_entry_++);
    places_left_ = o_.pyramid.pooling;
  }

  __device__ void take(const Place& place, int number) {
    Floats<kSize> x;
    x.set(place.pair);
    if (rotates_) {
      const int64_t in_table = int64_t{first_ + number - o_.shift} * o_.half + column_;
      x.rotate(o_.cos + in_table, o_.sin + in_table, 1.0f);
    }
    store(x, place.row, 0);
    sums_[0].add(x);
    if (!place.closes) return;
    store(sums_[0], place.closed_row, 1);
    if (kLevels > 2) close_upper((number + 1) / o_.pyramid.pooling);
    sums_[0] = {};
  }

  /// Adds the closed entry of level 1 to its parent, and so on for each entry that ends with it. `done`: the number of
  /// closed entries of level 1.
  __device__ void close_upper(int done) {
#pragma unroll
    for (int level = 2; level < kLevels; ++level) {
      if (level > top_) return;
      sums_[level - 1].add(sums_[level - 2]);
      if (level > 2) sums_[level - 2] = {};  // the caller resets the sum of level 1
      if (done % o_.pyramid.pooling != 0) return;
      done /= o_.pyramid.pooling;
      const int entry = first_ / o_.pyramid.spans[level] + done - 1 - o_.shift;
      store(sums_[level - 1], level == top_ ? row_of_top_ : row_of(level, entry), level);
    }
  }

  __device__ void store(const Floats<kSize>& x, int row, int level) const {
    if (row >= 0) x.store(to_ + row * o_.to.row_stride, o_.half, o_.scale(level));
  }

  const Operands<T>& o_;
  const int top_;    // level
  const int first_;  // place
  const bool rotates_;
  const int column_;
  const int* __restrict__ rows_;
  const T* __restrict__ from_;
  T* __restrict__ to_;
  const int row_of_top_;
  int open_entry_, places_left_;     // of level 1
  Floats<kSize> sums_[kLevels - 1];  // of the open entries of level 1 and up
};

template <typename T, int kSize, int kLevels>
__global__ void __launch_bounds__(kBlock, kGatherBlocks) gather_kernel(const __grid_constant__ Operands<T> operands) {
  for_each_head(operands, kSize, [&](int batch, int part, int head, int column) {
    Gatherer<T, kSize, kLevels>(operands, batch, part, head, column).run();
  });
}

/// Computes one row from all tokens under its entry, for pyramids with too many levels to keep all sums in registers. A
/// token is read once for each level.
template <typename T, int kSize>
__device__ void gather_row(const Operands<T>& o, const int* indices, int batch, int row, int head, int column) {
  const int number = indices[o.selection_of(batch, head) * o.parts + row];
  int level = 0;
  while (number >= o.pyramid.offsets[level + 1]) ++level;
  const int span = o.pyramid.spans[level];
  const int first = (number - o.pyramid.offsets[level] + o.shift) * span - o.shift;
  const int end = min(first + span, o.pyramid.length);
  const T* __restrict__ from = o.from.at(batch, head, column);
  Floats<kSize> sum;
  for (int token = first; token < end; ++token) {
    PackPair<T, kSize> pair;
    pair.load(from + token * o.from.row_stride, o.half);
    Floats<kSize> x;
    x.set(pair);
    if (head < o.rotated) {
      const int64_t in_table = int64_t{token} * o.half + column;
      x.rotate(o.cos + in_table, o.sin + in_table, 1.0f);
    }
    sum.add(x);
  }
  sum.store(o.to.at(batch, head, column) + row * o.to.row_stride, o.half, o.scale(level));
}

/// `indices` are [B, G, S]; a part is a row.
template <typename T, int kSize>
__global__ void __launch_bounds__(kBlock)
    gather_rows_kernel(const __grid_constant__ Operands<T> operands, const int* indices) {
  for_each_head(operands, kSize, [&](int batch, int row, int head, int column) {
    gather_row<T, kSize>(operands, indices, batch, row, head, column);
  });
}

/// Writes the tokens of one entry of level 1. They share all rows but those of level 0.
template <typename T, int kSize, int kLevels>
__device__ void scatter(const Operands<T>& o, int batch, int part, int head, int column) {
  const int* __restrict__ rows = o.rows_of(batch, head);
  const T* __restrict__ from = o.from.at(batch, head, column);
  T* to = o.to.at(batch, head, column);
  const T* window = o.window.data == nullptr ? nullptr : o.window.at(batch, head, column);  // may be `to`
  int upper_rows[kLevels - 1];
  int entry = part;
#pragma unroll(kLevels <= kFewLevels ? kLevels : 1)
  for (int level = 1; level < kLevels; ++level) {
    upper_rows[level - 1] = -1;
    if (level >= o.pyramid.levels) continue;
    const int own = entry - o.shift;
    if (own >= 0 && own < o.pyramid.entries(level)) upper_rows[level - 1] = rows[o.pyramid.offsets[level] + own];
    entry /= o.pyramid.pooling;
  }
  const int first = part * o.pyramid.pooling - o.shift;
  const auto exists = [&](int token) { return token >= 0 && token < o.pyramid.length; };
  Floats<kSize> shared;
  for (int begin = 0; begin < o.pyramid.pooling; begin += kScatterAhead) {
    int own_rows[kScatterAhead];
#pragma unroll
    for (int i = 0; i < kScatterAhead; ++i) {
      const int token = first + begin + i;
      own_rows[i] = begin + i < o.pyramid.pooling && exists(token) ? rows[token] : -1;
    }
    if (begin == 0) {
#pragma unroll(kLevels <= kFewLevels ? kLevels : 1)
      for (int level = 1; level < kLevels; ++level) {
        if (upper_rows[level - 1] < 0) continue;
        PackPair<T, kSize> pair;
        pair.load(from + upper_rows[level - 1] * o.from.row_stride, o.half);
        shared.add(pair, o.scale(level));
      }
    }
#pragma unroll
    for (int i = 0; i < kScatterAhead; ++i) {
      const int token = first + begin + i;
      if (begin + i >= o.pyramid.pooling || !exists(token)) continue;
      Floats<kSize> x = shared;
      if (own_rows[i] >= 0) {
        PackPair<T, kSize> pair;
        pair.load(from + own_rows[i] * o.from.row_stride, o.half);
        x.add(pair, 1.0f);
      }
      if (window != nullptr) {
        PackPair<T, kSize> pair;
        pair.load(window + token * o.window.row_stride, o.half);
        x.add(pair, 1.0f);
        x.scale(0.5f);
      }
      if (head < o.rotated) {
        const int64_t in_table = int64_t{token} * o.half + column;
        x.rotate(o.cos + in_table, o.sin + in_table, -1.0f);
      }
      x.store(to + token * o.to.row_stride, o.half, 1.0f);
    }
  }
}

template <typename T, int kSize, int kLevels>
__global__ void __launch_bounds__(kBlock, kScatterBlocks) scatter_kernel(const __grid_constant__ Operands<T> operands) {
  for_each_head(operands, kSize, [&](int batch, int part, int head, int column) {
    scatter<T, kSize, kLevels>(operands, batch, part, head, column);
  });
}

enum class Direction : uint8_t { kGather, kScatter };

/// The arguments of one of the four operations.
struct Transfer {
  const char* operation;
  Direction direction;
  int shift;
  const Tensor &from, &to;
  const LighthouseSelection& selection;
  const LighthouseShape& shape;
  bool fused;         // qkv, or query heads alone
  const Tensor& cos;  // may be empty
  const Tensor& sin;
  const Tensor& window = {};  // the window branch, as `to`; may be empty

  const Tensor& full() const { return direction == Direction::kGather ? from : to; }
  const Tensor& gathered() const { return direction == Direction::kGather ? to : from; }
  int64_t groups() const { return selection.indices.size(1); }
  int64_t queries() const { return full().size(2) - (fused ? 2 * groups() : 0); }

  void check() const {
    const Tensor& x = full();
    check_levels(shape);
    require(x.size(3) % 2 == 0 && x.size(3) <= 2 * kBlock, operation, {&x});
  }

  bool packs() const {
    return can_pack(full().size(3) / 2, {&from, &to}) && strides_pack(from) && strides_pack(to) &&
           (window.rank() == 0 || (can_pack(full().size(3) / 2, {&window}) && strides_pack(window))) &&
           (cos.rank() == 0 || can_pack(full().size(3) / 2, {&cos, &sin}));
  }
};

template <typename T>
Operands<T> operands_of(const Transfer& t) {
  Operands<T> o{.from = heads_of<const T>(t.from),
                .to = heads_of<T>(t.to),
                .rows = t.selection.rows.data<int32_t>(),
                .pyramid = Pyramid(t.shape),
                .shift = t.shift,
                .heads = static_cast<int>(t.full().size(2)),
                .groups = static_cast<int>(t.groups()),
                .queries = static_cast<int>(t.queries()),
                .half = static_cast<int>(t.full().size(3) / 2)};
  if (t.window.rank() > 0) o.window = heads_of<const T>(t.window);
  if (t.cos.rank() > 0) {
    o.cos = t.cos.data<float>();
    o.sin = t.sin.data<float>();
    o.rotated = o.queries + o.groups;
  }
  const int tokens = t.direction == Direction::kGather ? o.pyramid.spans[o.pyramid.levels - 1] : o.pyramid.pooling;
  o.parts = o.pyramid.length / tokens + t.shift;
  return o;
}

/// The block with the most threads whose heads divide all heads; among equals, the one with the most heads a part.
dim3 block_for(int packs, int heads) {
  dim3 best(static_cast<unsigned>(packs), 1, 1);
  for (int y = 1; y <= heads && y * packs <= kBlock; ++y) {
    if (heads % y != 0) continue;
    const int z = std::min(kBlock / (packs * y), 64);  // CUDA's limit of this dimension
    if (static_cast<unsigned>(y * z) >= best.y * best.z) {
      best = dim3(best.x, static_cast<unsigned>(y), static_cast<unsigned>(z));
    }
  }
  return best;
}

template <typename T, int kSize, int kLevels>
void launch(const Stream& stream, const Transfer& t) {
  Operands<T> o = operands_of<T>(t);
  const bool by_row = t.direction == Direction::kGather && kLevels > kFewLevels;
  if (by_row) o.parts = static_cast<int>(t.gathered().size(1));
  const dim3 block = block_for(o.half / kSize, o.heads);
  const dim3 grid(static_cast<unsigned>(ceil_div(o.parts, block.z)), static_cast<unsigned>(t.full().size(0)));
  if (by_row) {
    gather_rows_kernel<T, kSize><<<grid, block, 0, native(stream)>>>(o, t.selection.indices.data<int32_t>());
  } else if (t.direction == Direction::kGather) {
    if constexpr (kLevels <= kFewLevels) gather_kernel<T, kSize, kLevels><<<grid, block, 0, native(stream)>>>(o);
  } else {
    scatter_kernel<T, kSize, kLevels><<<grid, block, 0, native(stream)>>>(o);
  }
  LIGHTHOUSE_LAUNCHED(t.operation);
}

void launch_transfer(const Stream& stream, const Transfer& t) {
  t.check();
  if (t.full().numel() == 0) return;
  with_float_pack(t.full(), t.packs(), [&](auto element, auto size) {
    using T = decltype(element);
    constexpr int kSize = decltype(size)::value;
    if (t.shape.levels <= 3) return launch<T, kSize, 3>(stream, t);
    if (t.shape.levels == 4) return launch<T, kSize, 4>(stream, t);
    if (t.shape.levels <= kFewLevels) return launch<T, kSize, kFewLevels>(stream, t);
    launch<T, kSize, Pyramid::kMaxLevels>(stream, t);
  });
}

}  // namespace

void CudaBackend::do_lighthouse_gather(const Stream& stream, const Tensor& gathered, const Tensor& qkv,
                                       const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                       const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_gather");
  launch_transfer(stream,
                  {"lighthouse_gather", Direction::kGather, 0, qkv, gathered, selection, shape, true, cos, sin});
}

void CudaBackend::do_lighthouse_gather_backward(const Stream& stream, const Tensor& dqkv, const Tensor& dgathered,
                                                const LighthouseSelection& selection, const Tensor& cos,
                                                const Tensor& sin, const LighthouseShape& shape,
                                                const Tensor& window_dqkv) {
  const ProfileRange range("lighthouse_gather_backward");
  launch_transfer(stream, {"lighthouse_gather_backward", Direction::kScatter, 0, dgathered, dqkv, selection, shape,
                           true, cos, sin, window_dqkv});
}

void CudaBackend::do_lighthouse_scatter(const Stream& stream, const Tensor& out, const Tensor& gathered,
                                        const LighthouseSelection& selection, const LighthouseShape& shape,
                                        const Tensor& window_out) {
  const ProfileRange range("lighthouse_scatter");
  launch_transfer(
      stream,
      {"lighthouse_scatter", Direction::kScatter, 1, gathered, out, selection, shape, false, {}, {}, window_out});
}

void CudaBackend::do_lighthouse_scatter_backward(const Stream& stream, const Tensor& dgathered, const Tensor& dout,
                                                 const LighthouseSelection& selection, const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_scatter_backward");
  launch_transfer(
      stream, {"lighthouse_scatter_backward", Direction::kGather, 1, dout, dgathered, selection, shape, false, {}, {}});
}

}  // namespace lighthouse::cuda
