// Attention of one new token to a cache of keys and values. Each query head's positions are split among blocks; within
// a block, teams of lanes take keys in turn, each with its own online softmax (Milakov and Gimelshein, 2018). The
// results are combined in a fixed order: within a block, then by a second kernel over a head's blocks. The positions of
// a block follow from the token's position, which is read on the device, so that the launch can be captured.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "early_launch.cuh"
#include "lighthouse/kernels/cuda_scratch.h"
#include "lighthouse/ops/check.h"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kCombineThreads = 512;
constexpr int kMaxHeadDim = static_cast<int>(cuda_scratch::kMaxHeadDim);
constexpr int kMaxSplits = static_cast<int>(cuda_scratch::kMaxDecodeSplits);
static_assert(kMaxSplits <= kCombineThreads && kMaxHeadDim <= kCombineThreads);
constexpr int kKeys = 4;  // keys that a team loads before it waits for the first

template <typename T>
struct Operands {
  T* out;
  T *k_cache, *v_cache;
  float* parts;  // [H, splits, D + 2]
  const T* qkv;
  const float *cos, *sin;
  const int32_t* position;
  int heads, kv_heads, head_dim, splits;
  int window;  // positions that the token sees, including its own; 0: all
  float scale;
};

/// Element d of a rotated head, rounded as it is stored.
template <typename T>
__device__ float rotated(const T* head, const float* cos, const float* sin, int d, int half) {
  const int i = d < half ? d : d - half;
  const float a = to_float(head[i]), b = to_float(head[i + half]);
  return to_float(from_float<T>(d < half ? a * cos[i] - b * sin[i] : b * cos[i] + a * sin[i]));
}

/// The softmax of the keys that a team has processed, and each lane's elements of the weighted values.
template <int kElements>
struct Running {
  float largest = -INFINITY, total = 0;
  float sum[kElements] = {};

  __device__ void make_room(float score) {
    const float now = fmaxf(largest, score);
    const float shrink = largest == -INFINITY ? 0.0f : __expf(largest - now);
    largest = now;
    total *= shrink;
#pragma unroll
    for (float& s : sum) s *= shrink;
  }
};

/// kLanes lanes share a key; each holds kPacks packs of it, kLanes packs apart.
template <typename T, int kLanes, int kPacks>
struct Team {
  static constexpr int kSize = Pack<T>::kSize;
  static constexpr int kElements = kPacks * kSize;
  static constexpr int kCount = kThreads / kLanes;  // teams of a block

  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int number = static_cast<int>(threadIdx.x) / kLanes;
  const int head_dim;
  float q[kElements];
  Running<kElements> running;

  /// A lane's elements of the keys and values of one iteration.
  struct Turn {
    Words<T, kSize> keys[kKeys][kPacks], values[kKeys][kPacks];
  };

  explicit __device__ Team(int size) : head_dim(size) {}

  __device__ void take_query(const float* query) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) q[i] = element(i) < head_dim ? query[element(i)] : 0.0f;
  }

  __device__ int element(int i) const {
    return (i / kSize * kLanes + lane) * kSize + i % kSize;
  }

  __device__ void load(const T* row, Words<T, kSize> (&packs)[kPacks], bool there) const {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      packs[p].clear();
      if (there && element(p * kSize) < head_dim) packs[p] = load_words<T, kSize>(row + element(p * kSize));
    }
  }

  /// Returns the sum in every lane of the team.
  __device__ float score(const Words<T, kSize> (&key)[kPacks]) const {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kElements; ++i) sum += q[i] * key[i / kSize].at(i % kSize);
#pragma unroll
    for (int offset = kLanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffff, sum, offset);
    return sum;
  }

  /// Loads kKeys keys: first, first + kCount, ..., those before `end`.
  __device__ void load(Turn& turn, const T* keys, const T* values, int64_t stride, int first, int end) const {
#pragma unroll
    for (int j = 0; j < kKeys; ++j) load(keys + (first + j * kCount) * stride, turn.keys[j], first + j * kCount < end);
#pragma unroll
    for (int j = 0; j < kKeys; ++j) {
      load(values + (first + j * kCount) * stride, turn.values[j], first + j * kCount < end);
    }
  }

  /// All lanes of a warp call this.
  __device__ void absorb(const Turn& turn, int first, int end) {
    float scores[kKeys], largest = -INFINITY;
#pragma unroll
    for (int j = 0; j < kKeys; ++j) {
      scores[j] = score(turn.keys[j]);
      if (first + j * kCount >= end) scores[j] = -INFINITY;
      largest = fmaxf(largest, scores[j]);
    }
    if (largest == -INFINITY) return;
    running.make_room(largest);
#pragma unroll
    for (int j = 0; j < kKeys; ++j) {
      const float weight = __expf(scores[j] - running.largest);
      running.total += weight;
#pragma unroll
      for (int i = 0; i < kElements; ++i) running.sum[i] += weight * turn.values[j][i / kSize].at(i % kSize);
    }
  }

  /// Adds a key whose score and value are in shared memory.
  __device__ void absorb_one(float its_score, const float* value) {
    running.make_room(its_score);
    const float weight = __expf(its_score - running.largest);
    running.total += weight;
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      if (element(i) < head_dim) running.sum[i] += weight * value[element(i)];
    }
  }
};

/// The new token's row as a block needs it: its query and, in the block that has the token's position, its key and
/// value.
struct NewToken {
  float q[kMaxHeadDim], k[kMaxHeadDim], v[kMaxHeadDim];
};

template <typename T>
__device__ void load_new_token(const Operands<T>& o, NewToken& token, int head, int position, bool owned) {
  const int group = head / (o.heads / o.kv_heads), half = o.head_dim / 2;
  const float *cos = o.cos + int64_t{position} * half, *sin = o.sin + int64_t{position} * half;
  const T* q = o.qkv + head * o.head_dim;
  const T* k = o.qkv + (o.heads + group) * o.head_dim;
  const T* v = o.qkv + (o.heads + o.kv_heads + group) * o.head_dim;
  const int64_t row = (int64_t{position} * o.kv_heads + group) * o.head_dim;
  const bool writes = owned && head % (o.heads / o.kv_heads) == 0;  // the first head of the group
  for (int d = static_cast<int>(threadIdx.x); d < o.head_dim; d += kThreads) {
    token.q[d] = o.scale * rotated(q, cos, sin, d, half);
    if (!owned) continue;
    token.k[d] = rotated(k, cos, sin, d, half);
    token.v[d] = to_float(v[d]);
    if (!writes) continue;
    o.k_cache[row + d] = from_float<T>(token.k[d]);
    o.v_cache[row + d] = v[d];
  }
  __syncthreads();
}

/// Combines the results of a block's teams, in their order, into one part.
template <typename T, int kLanes, int kPacks>
__device__ void write_part(float* part, const Team<T, kLanes, kPacks>& team, float* shared) {
  using Teams = Team<T, kLanes, kPacks>;
  const int width = team.head_dim + 2;
  float* mine = shared + team.number * width;
#pragma unroll
  for (int i = 0; i < Teams::kElements; ++i) {
    if (team.element(i) < team.head_dim) mine[team.element(i)] = team.running.sum[i];
  }
  if (team.lane == 0) {
    mine[team.head_dim] = team.running.largest;
    mine[team.head_dim + 1] = team.running.total;
  }
  __syncthreads();
  float largest = -INFINITY;
  for (int t = 0; t < Teams::kCount; ++t) largest = fmaxf(largest, shared[t * width + team.head_dim]);
  for (int d = static_cast<int>(threadIdx.x); d < width; d += kThreads) {
    float sum = 0;
    for (int t = 0; t < Teams::kCount; ++t) {
      const float its = shared[t * width + team.head_dim];
      if (its != -INFINITY) sum += __expf(its - largest) * shared[t * width + d];
    }
    part[d] = d == team.head_dim ? largest : sum;
  }
}

template <typename T, int kLanes, int kPacks>
__global__ void __launch_bounds__(kThreads) attend_kernel(Operands<T> o) {
  using Teams = Team<T, kLanes, kPacks>;
  __shared__ NewToken token;
  extern __shared__ float shared[];
  allow_next_kernel();
  const int head = static_cast<int>(blockIdx.y), split = static_cast<int>(blockIdx.x);
  // No kernel that may still run writes the position or the rows before it.
  const int position = *o.position;
  // A multiple of the block's teams, so that few teams are idle.
  constexpr int kTurn = Teams::kCount * kKeys;
  const int seen_from = o.window > 0 ? max(0, position - o.window + 1) : 0;
  const int turns = ((position - seen_from) / kTurn + 1 + o.splits - 1) / o.splits;
  const int begin = seen_from + split * turns * kTurn, end = min(begin + turns * kTurn, position + 1);
  const bool owned = begin <= position && position < end;
  const int group = head / (o.heads / o.kv_heads);
  const int64_t stride = int64_t{o.kv_heads} * o.head_dim;
  const T *keys = o.k_cache + group * o.head_dim, *values = o.v_cache + group * o.head_dim;
  const int cached = min(end, position);  // the new token's row comes from shared memory

  Teams team(o.head_dim);
  typename Teams::Turn turn;
  team.load(turn, keys, values, stride, begin + team.number, cached);
  wait_for_previous_kernels();
  load_new_token(o, token, head, position, owned);
  team.take_query(token.q);
  for (int first = begin + team.number; first - team.number < cached; first += kTurn) {
    if (first - team.number > begin) team.load(turn, keys, values, stride, first, cached);
    team.absorb(turn, first, cached);
  }
  if (owned) {
    float own = 0;
#pragma unroll
    for (int i = 0; i < Teams::kElements; ++i) {
      if (team.element(i) < o.head_dim) own += team.q[i] * token.k[team.element(i)];
    }
#pragma unroll
    for (int offset = kLanes / 2; offset > 0; offset /= 2) own += __shfl_xor_sync(0xffffffff, own, offset);
    if (team.number == 0) team.absorb_one(own, token.v);
  }
  write_part(o.parts + (int64_t{head} * o.splits + split) * (o.head_dim + 2), team, shared);
}

/// out [H, D] from the parts of each head. Groups of threads, with a thread for each element, take parts in turn.
template <typename T>
__global__ void __launch_bounds__(kCombineThreads)
    combine_kernel(T* out, const float* parts, int splits, int head_dim) {
  __shared__ float weights[kMaxSplits], sums[kCombineThreads], of_warps[kCombineThreads / kWarp];
  __shared__ float largest;
  allow_next_kernel();
  wait_for_previous_kernels();
  const int head = static_cast<int>(blockIdx.x), width = head_dim + 2, thread = static_cast<int>(threadIdx.x);
  const float* mine = parts + int64_t{head} * splits * width;
  const int groups = kCombineThreads / head_dim, group = thread / head_dim, d = thread % head_dim;
  const bool there = thread < splits;  // there are at least as many threads as parts
  const float its = there ? mine[thread * width + head_dim] : -INFINITY;
  const float its_total = there ? mine[thread * width + head_dim + 1] : 0.0f;
  const float of_warp = warp_max(its);
  if (thread % kWarp == 0) of_warps[thread / kWarp] = of_warp;
  __syncthreads();
  if (thread < kWarp) {
    const float of_all = warp_max(thread < kCombineThreads / kWarp ? of_warps[thread] : -INFINITY);
    if (thread == 0) largest = of_all;
  }
  __syncthreads();
  const float weight = its == -INFINITY ? 0.0f : __expf(its - largest);
  if (there) weights[thread] = weight;
  const float total = block_sum(weight * its_total, of_warps);
  float sum = 0;
  if (group < groups) {
#pragma unroll 8
    for (int s = group; s < splits; s += groups) sum += weights[s] * mine[s * width + d];
  }
  sums[thread] = sum;
  __syncthreads();
  if (thread >= head_dim) return;
  for (int g = 1; g < groups; ++g) sum += sums[g * head_dim + d];
  out[head * head_dim + d] = from_float<T>(sum / total);
}

template <typename T, int kLanes, int kPacks>
void launch_attend(const Stream& stream, bool early, const Operands<T>& o) {
  const size_t shared = sizeof(float) * static_cast<size_t>(kThreads / kLanes) * static_cast<size_t>(o.head_dim + 2);
  const dim3 grid(static_cast<unsigned>(o.splits), static_cast<unsigned>(o.heads));
  launch(native(stream), early, grid, kThreads, shared, attend_kernel<T, kLanes, kPacks>, o);
}

/// The fewest lanes that hold a key with one pack each, or with two if a warp is not enough.
template <typename T>
void attend(const Stream& stream, bool early, const Operands<T>& o) {
  const int packs = static_cast<int>(ceil_div(o.head_dim, Pack<T>::kSize));
  if (packs <= 8) return launch_attend<T, 8, 1>(stream, early, o);
  if (packs <= 16) return launch_attend<T, 16, 1>(stream, early, o);
  if (packs <= 32) return launch_attend<T, 32, 1>(stream, early, o);
  launch_attend<T, 32, 2>(stream, early, o);
}

}  // namespace

void CudaBackend::do_cache_rows(const Stream& stream, const Tensor& cache, const Tensor& x) {
  const ProfileRange range("cache_rows");
  const auto size = static_cast<size_t>(size_of(x.dtype()));
  const size_t width = static_cast<size_t>(x.size(1) * x.size(2)) * size;
  LIGHTHOUSE_CUDA(cudaMemcpy2DAsync(cache.raw(), width, x.raw(), static_cast<size_t>(x.stride(0)) * size, width,
                                    static_cast<size_t>(x.size(0)), cudaMemcpyDeviceToDevice, native(stream)));
}

void CudaBackend::do_attention_decode(const Stream& stream, const Tensor& out, const Tensor& k_cache,
                                      const Tensor& v_cache, const Tensor& scratch, const Tensor& qkv,
                                      const Tensor& cos, const Tensor& sin, const Tensor& position, int64_t window) {
  const ProfileRange range("attention_decode");
  const int64_t heads = out.size(0), head_dim = out.size(1);
  require(head_dim % 8 == 0 && head_dim <= kMaxHeadDim && heads <= 65535 && can_pack(head_dim, {&k_cache, &v_cache}),
          "attention_decode", {&out, &k_cache, &v_cache});
  with_float_type(out, [&](auto element) {
    using T = decltype(element);
    Operands<T> o{data_of<T>(out), data_of<T>(k_cache), data_of<T>(v_cache), data_of<float>(scratch), data_of<T>(qkv)};
    o.cos = cos.data<float>();
    o.sin = sin.data<float>();
    o.position = position.data<int32_t>();
    o.heads = static_cast<int>(heads);
    o.kv_heads = static_cast<int>(k_cache.size(1));
    o.head_dim = static_cast<int>(head_dim);
    o.window = static_cast<int>(std::min(window, k_cache.size(0)));
    o.splits = static_cast<int>(cuda_scratch::decode_splits(k_cache.size(0), heads));
    o.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    attend(stream, launches_early(), o);
    launch(native(stream), launches_early(), dim3(static_cast<unsigned>(heads)), kCombineThreads, 0, combine_kernel<T>,
           o.out, o.parts, o.splits, o.head_dim);
  });
}

}  // namespace lighthouse::cuda
