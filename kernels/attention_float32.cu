// A warp holds one row: of the queries in the forward pass and for dq, of the keys for dk and dv. It iterates over the
// other side 32 rows at a time: a lane for each score, then a lane for every 32nd element of the head.
#include <cmath>

#include "attention_float32.h"
#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/kernels/cuda_scratch.h"
#include "lighthouse/ops/check.h"

namespace lighthouse::cuda {
namespace {

constexpr int kRows = 4;    // rows of a block, one warp each
constexpr int kBlocks = 4;  // blocks that must fit on a multiprocessor: leaves enough registers for all head sizes
constexpr int64_t kMaxHeadDim = 256;

// [B, N, X, D], strided.
struct Heads {
  float* data;
  int64_t batch_stride, position_stride, head_stride;

  explicit Heads(const Tensor& x)
      : data(x.data<float>()), batch_stride(x.stride(0)), position_stride(x.stride(1)), head_stride(x.stride(2)) {}

  __device__ float* row(int64_t batch, int64_t position, int64_t head) const {
    return data + batch * batch_stride + position * position_stride + head * head_stride;
  }
};

struct Sizes {
  int64_t batches, length;
  int heads, kv_heads, head_dim;
  unsigned blocks_of_head;  // a block has rows of one head
  float scale;
  const int32_t* starts;  // [B, N], where each query's document starts; null: all start at 0
  int64_t window;         // number of keys that a query sees; 0: all up to its own

  Sizes(const Tensor& q, const Tensor& k, const AttentionMask& mask)
      : batches(q.size(0)),
        length(q.size(1)),
        heads(static_cast<int>(q.size(2))),
        kv_heads(static_cast<int>(k.size(2))),
        head_dim(static_cast<int>(q.size(3))),
        blocks_of_head(static_cast<unsigned>(ceil_div(length, kRows))),
        scale(1.0f / std::sqrt(static_cast<float>(q.size(3)))),
        starts(mask.documents.starts.defined() ? mask.documents.starts.data<int32_t>() : nullptr),
        window(mask.window) {}

  __device__ int kv_of(int head) const { return head / (heads / kv_heads); }
  /// The first key that a query sees.
  __device__ int64_t start(int64_t batch, int64_t position) const {
    const int64_t document = starts == nullptr ? 0 : starts[batch * length + position];
    return window > 0 ? max(document, position - window + 1) : document;
  }
  __device__ int64_t statistic(int64_t batch, int head, int64_t position) const {
    return (batch * heads + head) * length + position;
  }
};

// The row that a warp holds, of `heads` heads. `there` is false past the last row.
struct Place {
  int64_t batch, position;
  int head;
  bool there;

  __device__ Place(const Sizes& sizes, int heads) {
    const unsigned sequence = blockIdx.x / sizes.blocks_of_head;
    batch = sequence / heads;
    head = static_cast<int>(sequence % heads);
    position = int64_t{blockIdx.x % sizes.blocks_of_head} * kRows + threadIdx.y;
    there = position < sizes.length;
  }
};

__device__ inline int lane() {
  return static_cast<int>(threadIdx.x);
}

// A row of a head, spread over the lanes of a warp with kCount elements each; 0 past the end.
template <int kCount>
struct Row {
  float values[kCount];

  __device__ void load(const float* from, int head_dim) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int d = i * kWarp + lane();
      values[i] = d < head_dim ? from[d] : 0.0f;
    }
  }
  __device__ void store(float* to, int head_dim) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int d = i * kWarp + lane();
      if (d < head_dim) to[d] = values[i];
    }
  }
  __device__ void clear() {
#pragma unroll
    for (float& value : values) value = 0;
  }
  __device__ float dot(const Row& other) const {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kCount; ++i) sum = fmaf(values[i], other.values[i], sum);
    return warp_sum(sum);
  }
  __device__ void scale(float factor) {
#pragma unroll
    for (float& value : values) value *= factor;
  }
  __device__ void add(const Row& other, float factor = 1.0f) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] = fmaf(other.values[i], factor, values[i]);
  }
};

// Returns in lane j the product of `row` with row j of `rows`; `count` rows, at most 32.
template <int kCount>
__device__ float dots(const Row<kCount>& row, const float* rows, int64_t stride, int count, int head_dim) {
  float mine = 0;
#pragma unroll 4
  for (int j = 0; j < count; ++j) {
    Row<kCount> other;
    other.load(rows + j * stride, head_dim);
    const float product = row.dot(other);
    if (lane() == j) mine = product;
  }
  return mine;
}

// sum += the rows, each times the factor of its lane. The rows are summed first: long sums lose fewer digits that way.
template <int kCount>
__device__ void add_rows(Row<kCount>& sum, float factor, const float* rows, int64_t stride, int count, int head_dim) {
  Row<kCount> part;
  part.clear();
#pragma unroll 4
  for (int j = 0; j < count; ++j) {
    Row<kCount> other;
    other.load(rows + j * stride, head_dim);
    part.add(other, __shfl_sync(kAllLanes, factor, j));
  }
  sum.add(part);
}

__device__ inline int rows_left(int64_t first, int64_t end) {
  return static_cast<int>(min(int64_t{kWarp}, end - first));
}

// The online softmax (Milakov and Gimelshein, 2018).
template <int kCount>
__global__ void __launch_bounds__(kWarp* kRows, kBlocks)
    forward_kernel(Heads out, float* lse, Heads q, Heads k, Heads v, Sizes sizes) {
  const Place place(sizes, sizes.heads);
  if (!place.there) return;
  const int kv = sizes.kv_of(place.head);
  Row<kCount> query, sum;
  query.load(q.row(place.batch, place.position, place.head), sizes.head_dim);
  sum.clear();
  float peak = -INFINITY, total = 0;
  for (int64_t first = sizes.start(place.batch, place.position); first <= place.position; first += kWarp) {
    const int count = rows_left(first, place.position + 1);
    const float product =
        dots(query, k.row(place.batch, first, kv), k.position_stride, count, sizes.head_dim) * sizes.scale;
    const float score = lane() < count ? product : -INFINITY;
    const float new_peak = fmaxf(peak, warp_max(score));
    const float probability = lane() < count ? expf(score - new_peak) : 0.0f, shrink = expf(peak - new_peak);
    total = total * shrink + warp_sum(probability);
    sum.scale(shrink);
    add_rows(sum, probability, v.row(place.batch, first, kv), v.position_stride, count, sizes.head_dim);
    peak = new_peak;
  }
  sum.scale(1.0f / total);
  sum.store(out.row(place.batch, place.position, place.head), sizes.head_dim);
  if (lane() == 0) lse[sizes.statistic(place.batch, place.head, place.position)] = peak + logf(total);
}

// delta [B, H, N] = dout . out
template <int kCount>
__global__ void __launch_bounds__(kWarp* kRows, kBlocks)
    delta_kernel(float* delta, Heads dout, Heads out, Sizes sizes) {
  const Place place(sizes, sizes.heads);
  if (!place.there) return;
  Row<kCount> a, b;
  a.load(dout.row(place.batch, place.position, place.head), sizes.head_dim);
  b.load(out.row(place.batch, place.position, place.head), sizes.head_dim);
  const float sum = a.dot(b);
  if (lane() == 0) delta[sizes.statistic(place.batch, place.head, place.position)] = sum;
}

struct Backward {
  Heads dq, dk, dv, dout, q, k, v;
  const float *lse, *delta;
  Sizes sizes;
};

template <int kCount>
__global__ void __launch_bounds__(kWarp* kRows, kBlocks) dq_kernel(Backward of) {
  const Sizes& sizes = of.sizes;
  const Place place(sizes, sizes.heads);
  if (!place.there) return;
  const int kv = sizes.kv_of(place.head);
  const int64_t statistic = sizes.statistic(place.batch, place.head, place.position);
  const float lse = of.lse[statistic], delta = of.delta[statistic];
  Row<kCount> query, dout, dq;
  query.load(of.q.row(place.batch, place.position, place.head), sizes.head_dim);
  dout.load(of.dout.row(place.batch, place.position, place.head), sizes.head_dim);
  dq.clear();
  for (int64_t first = sizes.start(place.batch, place.position); first <= place.position; first += kWarp) {
    const int count = rows_left(first, place.position + 1);
    const float *keys = of.k.row(place.batch, first, kv), *values = of.v.row(place.batch, first, kv);
    const float score = dots(query, keys, of.k.position_stride, count, sizes.head_dim) * sizes.scale;
    const float dprobability = dots(dout, values, of.v.position_stride, count, sizes.head_dim);
    const float dscore = lane() < count ? expf(score - lse) * (dprobability - delta) : 0.0f;
    add_rows(dq, dscore * sizes.scale, keys, of.k.position_stride, count, sizes.head_dim);
  }
  dq.store(of.dq.row(place.batch, place.position, place.head), sizes.head_dim);
}

// Adds the contribution of one head's queries that see the key to its dk and dv.
template <int kCount>
__device__ void add_queries(const Backward& of, const Place& place, int head, const Row<kCount>& key,
                            const Row<kCount>& value, Row<kCount>& dk, Row<kCount>& dv) {
  const Sizes& sizes = of.sizes;
  for (int64_t first = place.position; first < sizes.length; first += kWarp) {
    if (sizes.start(place.batch, first) > place.position) return;  // no later query sees the key
    const int count = rows_left(first, sizes.length);
    const int64_t statistic = sizes.statistic(place.batch, head, first) + lane();
    const float lse = lane() < count ? of.lse[statistic] : 0.0f, delta = lane() < count ? of.delta[statistic] : 0.0f;
    const float *queries = of.q.row(place.batch, first, head), *douts = of.dout.row(place.batch, first, head);
    const float score = dots(key, queries, of.q.position_stride, count, sizes.head_dim) * sizes.scale;
    const float dprobability = dots(value, douts, of.dout.position_stride, count, sizes.head_dim);
    const bool seen = lane() < count && sizes.start(place.batch, first + lane()) <= place.position;
    const float probability = seen ? expf(score - lse) : 0.0f;
    const float dscore = probability * (dprobability - delta);
    add_rows(dv, probability, douts, of.dout.position_stride, count, sizes.head_dim);
    add_rows(dk, dscore * sizes.scale, queries, of.q.position_stride, count, sizes.head_dim);
  }
}

template <int kCount>
__global__ void __launch_bounds__(kWarp* kRows, kBlocks) dk_dv_kernel(Backward of) {
  const Sizes& sizes = of.sizes;
  const Place place(sizes, sizes.kv_heads);
  if (!place.there) return;
  Row<kCount> key, value, dk, dv;
  key.load(of.k.row(place.batch, place.position, place.head), sizes.head_dim);
  value.load(of.v.row(place.batch, place.position, place.head), sizes.head_dim);
  dk.clear();
  dv.clear();
  const int group = sizes.heads / sizes.kv_heads;
  for (int head = place.head * group; head < (place.head + 1) * group; ++head) {
    add_queries(of, place, head, key, value, dk, dv);
  }
  dk.store(of.dk.row(place.batch, place.position, place.head), sizes.head_dim);
  dv.store(of.dv.row(place.batch, place.position, place.head), sizes.head_dim);
}

unsigned grid_of(const Sizes& sizes, int heads) {
  return static_cast<unsigned>(sizes.batches * heads * sizes.blocks_of_head);
}

// Calls function(std::integral_constant<int, n>{}) with enough elements a lane for the head.
template <typename Function>
void with_elements_of_lane(int64_t head_dim, const Function& function) {
  if (head_dim <= 2 * kWarp) return function(std::integral_constant<int, 2>{});
  if (head_dim <= 4 * kWarp) return function(std::integral_constant<int, 4>{});
  function(std::integral_constant<int, kMaxHeadDim / kWarp>{});
}

void check_head_size(const char* operation, const Tensor& q) {
  require(q.size(3) % 8 == 0 && q.size(3) <= kMaxHeadDim, operation, {&q});
}

}  // namespace

void attention_forward_float32(const Stream& stream, const Tensor& out, const Tensor& lse, const Tensor& q,
                               const Tensor& k, const Tensor& v, const AttentionMask& mask) {
  check_head_size("attention_forward", q);
  if (q.numel() == 0) return;
  const Sizes sizes(q, k, mask);
  with_elements_of_lane(q.size(3), [&](auto count) {
    forward_kernel<decltype(count)::value><<<grid_of(sizes, sizes.heads), dim3(kWarp, kRows), 0, native(stream)>>>(
        Heads(out), lse.data<float>(), Heads(q), Heads(k), Heads(v), sizes);
    LIGHTHOUSE_LAUNCHED("attention_forward, float32");
  });
}

void attention_backward_float32(const Stream& stream, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                                const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask) {
  check_head_size("attention_backward", q);
  require(scratch.bytes() >= cuda_scratch::attention_backward(DType::kFloat32, q.shape(), k.size(2), false, 0),
          "attention_backward", {&scratch, &q});
  if (q.numel() == 0) return;
  auto* delta = data_of<float>(scratch);
  const Sizes sizes(q, k, mask);
  const Backward of{Heads(dq), Heads(dk), Heads(dv),         Heads(dout), Heads(q),
                    Heads(k),  Heads(v),  lse.data<float>(), delta,       sizes};
  with_elements_of_lane(q.size(3), [&](auto count) {
    constexpr int kCount = decltype(count)::value;
    const dim3 block(kWarp, kRows);
    const unsigned of_queries = grid_of(sizes, sizes.heads), of_keys = grid_of(sizes, sizes.kv_heads);
    delta_kernel<kCount><<<of_queries, block, 0, native(stream)>>>(delta, of.dout, Heads(out), sizes);
    LIGHTHOUSE_LAUNCHED("attention_backward, float32, delta");
    dq_kernel<kCount><<<of_queries, block, 0, native(stream)>>>(of);
    LIGHTHOUSE_LAUNCHED("attention_backward, float32, dq");
    dk_dv_kernel<kCount><<<of_keys, block, 0, native(stream)>>>(of);
    LIGHTHOUSE_LAUNCHED("attention_backward, float32, dk and dv");
  });
}

}  // namespace lighthouse::cuda
