// Between the sequence and the gathered rows. Two kernels: one collects rows from tokens (gather; scatter's backward),
// one spreads rows over tokens (scatter; gather's backward). Both read and write every token once, in whatever order
// the entries were gathered, without atomics.
//
// A gathered row of entry (l, i) is made of the tokens under it; its output goes to the same tokens, but one entry of
// its level later, less one token. In places j' = j + 1 that is: to the places under entry (l, i + 1). So with `shift`
// 0 for gathering and 1 for scattering, place j' = j + shift lies under entry (l, j' / p^l - shift) for both.
#include <algorithm>
#include <cstdint>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/ops/check.h"
#include "lighthouse_pyramid.cuh"
#include "profile_range.h"
#include "rotation.cuh"

namespace lighthouse::cuda {
namespace {

constexpr int kMaxBlock = 512;
constexpr int kWishedBlock = 192;
constexpr int kAhead = 4;      // tokens that are loaded before the first of them is used
constexpr int kFewLevels = 6;  // up to which a thread keeps the sums of all levels in registers

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
  int shift;                 // 0 to gather, 1 to scatter
  int batch, heads, groups;  // B, X, G
  int queries;               // heads before this one are query heads; after them come the keys' and the values'
  int rotated = 0;           // heads before this one are rotated
  int half;                  // D/2
  int packs;                 // of half a head
  int parts = 0;             // of a sequence: each the work of heads * packs threads
  int parts_per_block = 0;

  __device__ const int* rows_of(int batch_entry, int head) const {
    const int group = head < queries ? head / (queries / groups) : (head - queries) % groups;
    return rows + (int64_t{batch_entry} * groups + group) * pyramid.all_entries();
  }
  /// A row of an entry is its tokens' mean, or the sum of what it wrote.
  __device__ float scale(int level) const {
    return shift == 0 ? 1.0f / static_cast<float>(pyramid.spans[level]) : 1.0f;
  }
};

/// The same columns of both halves of a head, as they are in memory.
template <typename T, int kSize>
struct PackPair {
  Words<T, kSize> first, second;

  __device__ void clear() {
    first.clear();
    second.clear();
  }
  __device__ void load(const T* from, int half) {
    first = load_words<T, kSize>(from);
    second = load_words<T, kSize>(from + half);
  }
};

template <int kSize>
struct Floats {
  float first[kSize] = {}, second[kSize] = {};

  template <typename T>
  __device__ void set(const PackPair<T, kSize>& pair) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      first[i] = pair.first.at(i);
      second[i] = pair.second.at(i);
    }
  }
  __device__ void add(const Floats& other) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      first[i] += other.first[i];
      second[i] += other.second[i];
    }
  }
  template <typename T>
  __device__ void add(const PackPair<T, kSize>& pair, float factor) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      first[i] += factor * pair.first.at(i);
      second[i] += factor * pair.second.at(i);
    }
  }
  __device__ void rotate(const float* cos, const float* sin, float direction) {
    Angles<kSize>(cos, sin, direction).rotate(first, second);
  }
  template <typename T>
  __device__ void store(T* to, int half, float factor) const {
    float scaled[2][kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      scaled[0][i] = factor * first[i];
      scaled[1][i] = factor * second[i];
    }
    PackPair<T, kSize> pair;
    pair.first.set(scaled[0]);
    pair.second.set(scaled[1]);
    store_words(to, pair.first);
    store_words(to + half, pair.second);
  }
};

/// Calls work(batch, part, head, column) for what this thread does.
template <typename T, typename Work>
__device__ void for_each_item(const Operands<T>& o, int size, const Work& work) {
  const int per_part = o.heads * o.packs;
  for (int item = static_cast<int>(threadIdx.x); item < o.parts_per_block * per_part;
       item += static_cast<int>(blockDim.x)) {
    const int64_t part = int64_t{blockIdx.x} * o.parts_per_block + item / per_part;
    const int batch = static_cast<int>(part / o.parts), of_part = item % per_part;
    if (batch < o.batch) work(batch, static_cast<int>(part % o.parts), of_part / o.packs, of_part % o.packs * size);
  }
}

/// The rows of the entries under one entry of the coarsest level, that one included, for a pack of a head.
template <typename T, int kSize, int kLevels>
class Collector {
 public:
  __device__ Collector(const Operands<T>& operands, int batch, int part, int head, int column)
      : o_(operands),
        first_(part * operands.pyramid.spans[operands.pyramid.levels - 1]),
        rotates_(head < operands.rotated),
        column_(column),
        rows_(operands.rows_of(batch, head)),
        from_(operands.from.at(batch, head, column)),
        to_(operands.to.at(batch, head, column)) {}

  __device__ void run() {
    const int tokens = o_.pyramid.spans[o_.pyramid.levels - 1];
    for (int begin = 0; begin < tokens; begin += kAhead) {
      PackPair<T, kSize> pairs[kAhead];
      int rows[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int token = first_ + begin + i - o_.shift;
        rows[i] = -1;
        pairs[i].clear();
        if (begin + i >= tokens || token < 0 || token >= o_.pyramid.length) continue;
        rows[i] = rows_[token];
        pairs[i].load(from_ + token * o_.from.row_stride, o_.half);
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (begin + i < tokens) take(begin + i, pairs[i], rows[i]);
      }
    }
  }

 private:
  /// The next place, the `place`-th of this part.
  __device__ void take(int place, const PackPair<T, kSize>& pair, int row) {
    Floats<kSize> x;
    x.set(pair);
    const int token = first_ + place - o_.shift;
    if (rotates_) {
      const int64_t in_table = int64_t{token} * o_.half + column_;
      x.rotate(o_.cos + in_table, o_.sin + in_table, 1.0f);
    }
    store(x, row, 0);
    sums_[0].add(x);
    close_entries(place + 1);
  }

  /// Stores the entries that end after `done` places, and adds each to the one above it.
  __device__ void close_entries(int done) {
    const int end = first_ + done;
#pragma unroll(kLevels <= kFewLevels ? kLevels : 1)
    for (int level = 1; level < kLevels; ++level) {
      if (level >= o_.pyramid.levels || done % o_.pyramid.pooling != 0) return;
      done /= o_.pyramid.pooling;
      const int entry = end / o_.pyramid.spans[level] - 1 - o_.shift;
      if (entry >= 0 && entry < o_.pyramid.entries(level)) {
        store(sums_[level - 1], rows_[o_.pyramid.offsets[level] + entry], level);
      }
      if (level + 1 < kLevels) sums_[level].add(sums_[level - 1]);
      sums_[level - 1] = {};
    }
  }

  __device__ void store(const Floats<kSize>& x, int row, int level) const {
    if (row >= 0) x.store(to_ + row * o_.to.row_stride, o_.half, o_.scale(level));
  }

  const Operands<T>& o_;
  const int first_;  // place
  const bool rotates_;
  const int column_;
  const int* __restrict__ rows_;
  const T* __restrict__ from_;
  T* __restrict__ to_;
  Floats<kSize> sums_[kLevels - 1];  // of the open entries of level 1 and up
};

template <typename T, int kSize, int kLevels>
__global__ void __launch_bounds__(kMaxBlock) collect_kernel(const __grid_constant__ Operands<T> operands) {
  for_each_item(operands, kSize, [&](int batch, int part, int head, int column) {
    Collector<T, kSize, kLevels>(operands, batch, part, head, column).run();
  });
}

/// The tokens of one entry of level 1: all rows but the tokens' own are the same for them.
template <typename T, int kSize, int kLevels>
__device__ void spread(const Operands<T>& o, int batch, int part, int head, int column) {
  const int* __restrict__ rows = o.rows_of(batch, head);
  const T* __restrict__ from = o.from.at(batch, head, column);
  T* __restrict__ to = o.to.at(batch, head, column);
  Floats<kSize> shared;
  int entry = part;
#pragma unroll(kLevels <= kFewLevels ? kLevels : 1)
  for (int level = 1; level < kLevels; ++level, entry /= o.pyramid.pooling) {
    if (level >= o.pyramid.levels) break;
    const int own = entry - o.shift;
    if (own < 0 || own >= o.pyramid.entries(level)) continue;
    const int row = rows[o.pyramid.offsets[level] + own];
    if (row < 0) continue;
    PackPair<T, kSize> pair;
    pair.load(from + row * o.from.row_stride, o.half);
    shared.add(pair, o.scale(level));
  }
#pragma unroll 4
  for (int i = 0; i < o.pyramid.pooling; ++i) {
    const int token = part * o.pyramid.pooling + i - o.shift;
    if (token < 0 || token >= o.pyramid.length) continue;
    Floats<kSize> x = shared;
    const int row = rows[token];
    if (row >= 0) {
      PackPair<T, kSize> pair;
      pair.load(from + row * o.from.row_stride, o.half);
      x.add(pair, 1.0f);
    }
    if (head < o.rotated) {
      const int64_t in_table = int64_t{token} * o.half + column;
      x.rotate(o.cos + in_table, o.sin + in_table, -1.0f);
    }
    x.store(to + token * o.to.row_stride, o.half, 1.0f);
  }
}

template <typename T, int kSize, int kLevels>
__global__ void __launch_bounds__(kMaxBlock) spread_kernel(const __grid_constant__ Operands<T> operands) {
  for_each_item(operands, kSize, [&](int batch, int part, int head, int column) {
    spread<T, kSize, kLevels>(operands, batch, part, head, column);
  });
}

enum class Direction : uint8_t { kCollect, kSpread };

/// What the four operations have in common.
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

  const Tensor& full() const { return direction == Direction::kCollect ? from : to; }
  const Tensor& gathered() const { return direction == Direction::kCollect ? to : from; }
  int64_t groups() const { return selection.indices.size(1); }
  int64_t queries() const { return full().size(2) - (fused ? 2 * groups() : 0); }

  void check() const {
    const Tensor& x = full();
    const bool angles = cos.rank() == 2 && have_shape({x.size(1), x.size(3) / 2}, cos, sin) && contiguous(cos, sin);
    require(has_heads(x) && has_heads(gathered()) && x.size(3) % 2 == 0 && x.size(1) == shape.sequence_length &&
                have_shape({x.size(0), shape.gathered(), x.size(2), x.size(3)}, gathered()) &&
                from.dtype() == to.dtype() && fits(selection, x.size(0), shape) && queries() > 0 &&
                queries() % groups() == 0 && (angles || cos.rank() == 0),
            operation, {&from, &to, &selection.indices, &selection.rows, &cos, &sin});
  }

  bool packs() const {
    const auto strides_pack = [](const Tensor& x) {
      const int64_t size = 16 / size_of(x.dtype());
      return x.stride(0) % size == 0 && x.stride(1) % size == 0 && x.stride(2) % size == 0;
    };
    return can_pack(full().size(3) / 2, {&from, &to}) && strides_pack(from) && strides_pack(to) &&
           (cos.rank() == 0 || can_pack(full().size(3) / 2, {&cos, &sin}));
  }
};

template <typename T>
Operands<T> operands_of(const Transfer& t, int size) {
  Operands<T> o{.from = heads_of<const T>(t.from),
                .to = heads_of<T>(t.to),
                .rows = t.selection.rows.data<int32_t>(),
                .pyramid = Pyramid(t.shape),
                .shift = t.shift,
                .batch = static_cast<int>(t.full().size(0)),
                .heads = static_cast<int>(t.full().size(2)),
                .groups = static_cast<int>(t.groups()),
                .queries = static_cast<int>(t.queries()),
                .half = static_cast<int>(t.full().size(3) / 2),
                .packs = static_cast<int>(t.full().size(3) / 2 / size)};
  if (t.cos.rank() > 0) {
    o.cos = t.cos.data<float>();
    o.sin = t.sin.data<float>();
    o.rotated = o.queries + o.groups;
  }
  const int tokens = t.direction == Direction::kCollect ? o.pyramid.spans[o.pyramid.levels - 1] : o.pyramid.pooling;
  o.parts = o.pyramid.length / tokens + t.shift;
  o.parts_per_block = std::max(1, kWishedBlock / (o.heads * o.packs));
  return o;
}

template <typename T, int kSize, int kLevels>
void launch(const Stream& stream, const Transfer& t) {
  const Operands<T> o = operands_of<T>(t, kSize);
  const int64_t items = int64_t{o.parts_per_block} * o.heads * o.packs;
  const auto block = static_cast<unsigned>(std::min<int64_t>(kMaxBlock, ceil_div(items, kWarp) * kWarp));
  const auto grid = static_cast<unsigned>(ceil_div(int64_t{o.batch} * o.parts, o.parts_per_block));
  if (t.direction == Direction::kCollect) {
    collect_kernel<T, kSize, kLevels><<<grid, block, 0, native(stream)>>>(o);
  } else {
    spread_kernel<T, kSize, kLevels><<<grid, block, 0, native(stream)>>>(o);
  }
  LIGHTHOUSE_LAUNCHED(t.operation);
}

void run(const Stream& stream, const Transfer& t) {
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

void CudaBackend::lighthouse_gather(const Stream& stream, const Tensor& gathered, const Tensor& qkv,
                                    const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                    const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_gather");
  run(stream, {"lighthouse_gather", Direction::kCollect, 0, qkv, gathered, selection, shape, true, cos, sin});
}

void CudaBackend::lighthouse_gather_backward(const Stream& stream, const Tensor& dqkv, const Tensor& dgathered,
                                             const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                             const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_gather_backward");
  run(stream, {"lighthouse_gather_backward", Direction::kSpread, 0, dgathered, dqkv, selection, shape, true, cos, sin});
}

void CudaBackend::lighthouse_scatter(const Stream& stream, const Tensor& out, const Tensor& gathered,
                                     const LighthouseSelection& selection, const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_scatter");
  run(stream, {"lighthouse_scatter", Direction::kSpread, 1, gathered, out, selection, shape, false, {}, {}});
}

void CudaBackend::lighthouse_scatter_backward(const Stream& stream, const Tensor& dgathered, const Tensor& dout,
                                              const LighthouseSelection& selection, const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_scatter_backward");
  run(stream,
      {"lighthouse_scatter_backward", Direction::kCollect, 1, dout, dgathered, selection, shape, false, {}, {}});
}

}  // namespace lighthouse::cuda
