// Selection: a block for each tile of each batch entry and key/value head.
//
// A tile's candidates at a level are indexed in the order of the sequence. A bit for each says whether it is expanded.
// The bits and their prefix sums give the candidates of the level below (the p children of the t-th expanded candidate)
// and the position of every gathered entry in causal order, without a sort.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse_pyramid.cuh"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kMaxBlock = 1024;
constexpr int kKeyBits = 32;

__host__ __device__ constexpr int words_for(int bits) {
  return (bits + kWarp - 1) / kWarp;
}

struct Operands {
  int *indices, *rows;     // [B, G, S], [B, G, E]
  const float *s_q, *s_k;  // [B, G, E']
  Pyramid pyramid;
  int tiles, tile, gathered;
  bool cover_prefix;
  bool caches_keys;  // in shared memory; with too many candidates the keys are recomputed each time

  __host__ __device__ int top_candidates() const { return pyramid.entries(pyramid.levels - 1) / tiles; }
  __host__ __device__ int candidates(int level) const {
    return level == pyramid.levels - 1 ? top_candidates() : tile * pyramid.pooling;
  }
  __host__ __device__ int most_candidates() const { return max_of(top_candidates(), tile * pyramid.pooling); }
  /// Words of shared memory that hold a level's bits and counts.
  __host__ __device__ int level_words(int level) const { return 2 * words_for(candidates(level)) + 1; }

 private:
  __host__ __device__ static int max_of(int a, int b) { return a > b ? a : b; }
};

/// A level's expanded candidates: a bit each, and for each word the number of bits before it.
class Expanded {
 public:
  __device__ Expanded() = default;
  __device__ Expanded(uint32_t* memory, int candidates)
      : words_(words_for(candidates)), bits_(memory), counts_(reinterpret_cast<int*>(memory + words_)) {}

  __device__ int words() const { return words_; }
  __device__ uint32_t* bits() const { return bits_; }
  __device__ int* counts() const { return counts_; }
  __device__ bool contains(int place) const { return bits_[place / kWarp] >> place % kWarp & 1; }
  /// The number of expanded candidates among the first `places`.
  __device__ int rank(int places) const {
    const int word = places / kWarp, bit = places % kWarp;
    return counts_[word] + (bit == 0 ? 0 : __popc(bits_[word] & ((1u << bit) - 1)));
  }
  /// The index of the `number`-th expanded candidate.
  __device__ int place_of(int number) const {
    int low = 0, high = words_;  // the word is in [low, high)
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (counts_[middle] <= number ? low : high) = middle;
    }
    uint32_t word = bits_[low];
    for (int left = number - counts_[low]; left > 0; --left) word &= word - 1;
    return low * kWarp + __ffs(static_cast<int>(word)) - 1;
  }

 private:
  int words_ = 0;
  uint32_t* bits_ = nullptr;
  int* counts_ = nullptr;  // [words + 1]
};

/// Exclusive prefix sums of `counts`, in place; the last element becomes the total. All threads of the block call this.
__device__ void running_counts(int* counts, int size) {
  __shared__ int carry;
  if (threadIdx.x == 0) carry = 0;
  __syncthreads();
  if (threadIdx.x < kWarp) {  // one count for 32 candidates: one warp is enough
    for (int begin = 0; begin < size; begin += kWarp) {
      const int i = begin + static_cast<int>(threadIdx.x);
      const int own = i < size ? counts[i] : 0;
      int sum = own;
      for (int offset = 1; offset < kWarp; offset *= 2) {
        const int before = __shfl_up_sync(kAllLanes, sum, offset);
        if (static_cast<int>(threadIdx.x) >= offset) sum += before;
      }
      if (i < size) counts[i] = carry + sum - own;
      __syncwarp();
      if (threadIdx.x == kWarp - 1) carry += sum;
      __syncwarp();
    }
    if (threadIdx.x == 0) counts[size] = carry;
  }
  __syncthreads();
}

/// A key that orders as the score does, with NaN as minus infinity. Never 0.
__device__ uint32_t key_of(float score) {
  if (score != score) score = -INFINITY;
  if (score == 0) score = 0;  // -0 equals 0
  const uint32_t bits = __float_as_uint(score);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

class TileSelector {
 public:
  __device__ TileSelector(const Operands& operands, uint32_t* shared)
      : o_(operands),
        tile_(static_cast<int>(blockIdx.x) % operands.tiles),
        sequence_(static_cast<int>(blockIdx.x) / operands.tiles) {
    for (int level = o_.pyramid.levels - 1; level > 0; --level) {
      levels_[level] = Expanded(shared, o_.candidates(level));
      shared += o_.level_words(level);
    }
    counters_ = shared;
    keys_ = o_.caches_keys ? shared + kKeyBits : nullptr;
  }

  __device__ void run() {
    clear_rows();
    for (int level = o_.pyramid.levels - 1; level > 0; --level) expand(level);
    for (int level = o_.pyramid.levels - 1; level >= 0; --level) gather(level);
  }

 private:
  __device__ int* rows() const { return o_.rows + int64_t{sequence_} * o_.pyramid.all_entries(); }

  /// Sets the rows of all entries of the tile to -1, at every level.
  __device__ void clear_rows() const {
    for (int level = 0; level < o_.pyramid.levels; ++level) {
      const int entries = o_.pyramid.entries(level) / o_.tiles;
      int* own = rows() + o_.pyramid.offsets[level] + tile_ * entries;
      for (int i = static_cast<int>(threadIdx.x); i < entries; i += static_cast<int>(blockDim.x)) own[i] = -1;
    }
  }

  /// A candidate's index at its level, and the number of candidates of coarser levels before it.
  struct Standing {
    int entry, coarser;
  };
  __device__ Standing standing(int level, int place) const {
    Standing result{0, 0};
    int factor = 1;
    for (int above = level + 1; above < o_.pyramid.levels; ++above) {
      result.entry += place % o_.pyramid.pooling * factor;
      factor *= o_.pyramid.pooling;
      place = levels_[above].place_of(place / o_.pyramid.pooling);
      result.coarser += place;
    }
    result.entry += (tile_ * o_.top_candidates() + place) * factor;
    return result;
  }

  /// Selects half of the tile by s_q, then half by s_k from the rest.
  __device__ void expand(int level) {
    const Expanded& chosen = levels_[level];
    for (int word = static_cast<int>(threadIdx.x); word < chosen.words(); word += static_cast<int>(blockDim.x)) {
      chosen.bits()[word] = 0;
    }
    __syncthreads();
    choose(level, o_.s_q, o_.cover_prefix && tile_ == 0);
    choose(level, o_.s_k, false);
    for (int word = static_cast<int>(threadIdx.x); word < chosen.words(); word += static_cast<int>(blockDim.x)) {
      chosen.counts()[word] = __popc(chosen.bits()[word]);
    }
    running_counts(chosen.counts(), chosen.words());
  }

  /// Selects the tile / 2 candidates with the largest scores that are not selected yet; the first ones among equals.
  /// With `cover_prefix` (for the first half), candidate 0 replaces the last of them unless it is selected.
  __device__ void choose(int level, const float* scores, bool cover_prefix) {
    scores += int64_t{sequence_} * (o_.pyramid.all_entries() - o_.pyramid.length) - o_.pyramid.length +
              o_.pyramid.offsets[level];
    const int count = o_.candidates(level), wanted = o_.tile / 2;
    cache_keys(level, scores, count);
    const uint32_t threshold = find_threshold(level, scores, count, wanted);
    const int above = count_above(level, scores, count, threshold);
    mark(level, scores, count, threshold, wanted - above, cover_prefix);
  }

  /// The candidate's key; 0 if it is selected or does not exist.
  __device__ uint32_t make_key(int level, const float* scores, int count, int place) const {
    if (place >= count || levels_[level].contains(place)) return 0;
    return key_of(scores[standing(level, place).entry]);
  }
  __device__ uint32_t key(int level, const float* scores, int count, int place) const {
    if (keys_ == nullptr) return make_key(level, scores, count, place);
    return place < count ? keys_[place] : 0;
  }
  __device__ void cache_keys(int level, const float* scores, int count) const {
    if (keys_ != nullptr) {
      for (int place = static_cast<int>(threadIdx.x); place < count; place += static_cast<int>(blockDim.x)) {
        keys_[place] = make_key(level, scores, count, place);
      }
    }
    if (threadIdx.x < kKeyBits) counters_[threadIdx.x] = 0;
    __syncthreads();
  }

  /// Returns the number of keys >= `bound`, counted in counters_[counter], which is 0 before.
  __device__ int count_from(uint32_t bound, int counter, int level, const float* scores, int count) const {
    int own = 0;
    for (int place = static_cast<int>(threadIdx.x); place < count; place += static_cast<int>(blockDim.x)) {
      own += key(level, scores, count, place) >= bound ? 1 : 0;
    }
    own = __reduce_add_sync(kAllLanes, own);
    if (threadIdx.x % kWarp == 0) atomicAdd(&counters_[counter], static_cast<uint32_t>(own));
    __syncthreads();
    return static_cast<int>(counters_[counter]);
  }

  /// The largest bound that at least `wanted` keys reach, found bit by bit.
  __device__ uint32_t find_threshold(int level, const float* scores, int count, int wanted) const {
    uint32_t threshold = 0;
    for (int bit = kKeyBits - 1; bit >= 0; --bit) {
      const uint32_t probe = threshold | 1u << bit;
      if (count_from(probe, bit, level, scores, count) >= wanted) threshold = probe;
    }
    return threshold;
  }

  __device__ int count_above(int level, const float* scores, int count, uint32_t threshold) const {
    __syncthreads();
    if (threadIdx.x == 0) counters_[0] = 0;
    __syncthreads();
    return threshold == kAllLanes ? 0 : count_from(threshold + 1, 0, level, scores, count);
  }

  /// Sets the bits of the keys above the threshold, and of the first `ties` keys that equal it.
  __device__ void mark(int level, const float* scores, int count, uint32_t threshold, int ties, bool cover_prefix) {
    const Expanded& chosen = levels_[level];
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    for (int word = warp; word < chosen.words(); word += warps) {
      const uint32_t equal = __ballot_sync(kAllLanes, key(level, scores, count, word * kWarp + lane) == threshold);
      if (lane == 0) chosen.counts()[word] = __popc(equal);
    }
    __syncthreads();
    running_counts(chosen.counts(), chosen.words());
    for (int word = warp; word < chosen.words(); word += warps) {
      const uint32_t own = key(level, scores, count, word * kWarp + lane);
      const uint32_t equal = __ballot_sync(kAllLanes, own == threshold);
      const int number = chosen.counts()[word] + __popc(equal & ((1u << lane) - 1));
      const bool last_tie = own == threshold && number == ties - 1;
      const uint32_t added = __ballot_sync(kAllLanes, own > threshold || (own == threshold && number < ties));
      if (lane == 0) chosen.bits()[word] |= added;
      if (last_tie) counters_[1] = static_cast<uint32_t>(word * kWarp + lane);
    }
    __syncthreads();
    if (cover_prefix && threadIdx.x == 0 && !chosen.contains(0)) {
      const uint32_t last = counters_[1];
      chosen.bits()[last / kWarp] &= ~(1u << last % kWarp);
      chosen.bits()[0] |= 1;
    }
    __syncthreads();
  }

  /// Writes a level's candidates. In causal order a candidate comes after the earlier candidates of its level, those of
  /// finer levels up to its end, and those of coarser levels before the one that contains it.
  __device__ void gather(int level) const {
    const int segment = o_.gathered / o_.tiles;
    for (int place = static_cast<int>(threadIdx.x); place < o_.candidates(level);
         place += static_cast<int>(blockDim.x)) {
      const Standing at = standing(level, place);
      int position = place + at.coarser;
      int reached = place + 1;
      for (int finer = level; finer > 0; --finer) {
        reached = levels_[finer].rank(reached) * o_.pyramid.pooling;
        position += reached;
      }
      const int entry = o_.pyramid.offsets[level] + at.entry, row = tile_ * segment + position;
      o_.indices[int64_t{sequence_} * o_.gathered + row] = entry;
      rows()[entry] = row;
    }
  }

  const Operands& o_;
  const int tile_, sequence_;
  Expanded levels_[Pyramid::kMaxLevels];
  uint32_t* counters_;
  uint32_t* keys_;
};

__global__ void __launch_bounds__(kMaxBlock) select_kernel(const __grid_constant__ Operands operands) {
  extern __shared__ uint32_t shared[];
  TileSelector(operands, shared).run();
}

__global__ void __launch_bounds__(kMaxBlock)
    invert_kernel(int* rows, const int* indices, int gathered, int entries, int64_t numel) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= numel) return;
  rows[i / gathered * entries + indices[i]] = static_cast<int>(i % gathered);
}

/// Words of shared memory for the bits and counters of all levels.
int64_t selection_words(const Operands& o) {
  int64_t words = kKeyBits;
  for (int level = 1; level < o.pyramid.levels; ++level) words += o.level_words(level);
  return words;
}

}  // namespace

void CudaBackend::do_lighthouse_select(const Stream& stream, const LighthouseSelection& selection, const Tensor& s_q,
                                       const Tensor& s_k, const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_select");
  const Tensor &indices = selection.indices, &rows = selection.rows;
  check_levels(shape);
  Operands o{indices.data<int32_t>(),
             rows.data<int32_t>(),
             s_q.data<float>(),
             s_k.data<float>(),
             Pyramid(shape),
             static_cast<int>(shape.tiles()),
             static_cast<int>(shape.tile),
             static_cast<int>(shape.gathered()),
             shape.cover_prefix};
  constexpr int64_t kStatic = 1024;  // bytes of shared memory that the kernel declares statically
  const auto limit = static_cast<int64_t>(properties_.sharedMemPerBlockOptin) - kStatic;
  int64_t words = selection_words(o);
  o.caches_keys = 4 * (words + o.most_candidates()) <= limit;
  if (o.caches_keys) words += o.most_candidates();
  if (4 * words > limit) {
    throw InputError("Lighthouse Attention: a tile has " + std::to_string(o.most_candidates()) +
                     " candidates at a level, more than this GPU's shared memory holds; decrease "
                     "attention.lighthouse.tile or increase top_k for smaller tiles");
  }
  const int64_t threads = std::clamp<int64_t>(ceil_div(o.most_candidates(), kWarp) * kWarp, 128, kMaxBlock);
  LIGHTHOUSE_CUDA(
      cudaFuncSetAttribute(select_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(4 * words)));
  const auto grid = static_cast<unsigned>(indices.size(0) * indices.size(1) * o.tiles);
  select_kernel<<<grid, static_cast<unsigned>(threads), static_cast<size_t>(4 * words), native(stream)>>>(o);
  LIGHTHOUSE_LAUNCHED("lighthouse_select");
}

void CudaBackend::do_lighthouse_invert(const Stream& stream, const LighthouseSelection& selection,
                                       const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_invert");
  const Tensor &indices = selection.indices, &rows = selection.rows;
  LIGHTHOUSE_CUDA(cudaMemsetAsync(rows.raw(), 0xff, static_cast<size_t>(rows.bytes()), native(stream)));  // -1
  const auto grid = static_cast<unsigned>(ceil_div(indices.numel(), 256));
  invert_kernel<<<grid, 256, 0, native(stream)>>>(rows.data<int32_t>(), indices.data<int32_t>(),
                                                  static_cast<int>(shape.gathered()),
                                                  static_cast<int>(shape.all_entries()), indices.numel());
  LIGHTHOUSE_LAUNCHED("lighthouse_invert");
}

}  // namespace lighthouse::cuda
