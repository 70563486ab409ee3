// Scores of the pyramid's entries: the largest norm under each, of q and k or of the outputs of dilated attention. A
// warp for each entry of level 1; scores of single tokens are not written.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/ops/check.h"
#include "lighthouse_pyramid.cuh"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;
constexpr int kRows = 2;  // rows that a thread loads before it uses the first

/// One tensor to score: x [B, N, X, D], of which X / G heads share a selection, and its scores [B, G, E'].
template <typename T>
struct Source {
  const T* x;
  int64_t batch_stride, row_stride, head_stride;
  float* scores;
  int share;  // X / G
};

constexpr int kMaxSources = 2;

template <typename T>
struct Operands {
  Source<T> sources[kMaxSources];
  Pyramid pyramid;
  int groups, head_dim;

  __device__ int scored() const { return pyramid.all_entries() - pyramid.length; }
};

template <typename T, int kSize>
__device__ void add_squares(double& sum, const Words<T, kSize>& words) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const auto x = static_cast<double>(words.at(i));
    sum += x * x;
  }
}

/// kLanes threads share a row: one head of one token. The sum of squares is in float64 and rounded once, so that every
/// device ranks the scores equally.
template <typename T, int kSize, int kLanes>
__device__ float largest_norm(const Source<T>& source, const T* first, int rows, int head_dim) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes, team = static_cast<int>(threadIdx.x) / kLanes;
  constexpr int kTeams = kWarp / kLanes;
  float largest = -INFINITY;
  for (int begin = 0; begin < rows; begin += kRows * kTeams) {
    double sums[kRows] = {};
    for (int column = lane * kSize; column - lane * kSize < head_dim; column += kLanes * kSize) {
      Words<T, kSize> words[kRows];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const int row = begin + i * kTeams + team;
        words[i].clear();
        if (row >= rows || column >= head_dim) continue;
        const int token = source.share == 1 ? row : row / source.share;  // avoids a division in most models
        words[i] = load_words<T, kSize>(first + token * source.row_stride +
                                        (row - token * source.share) * source.head_stride + column);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i) add_squares(sums[i], words[i]);
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
#pragma unroll
      for (int offset = kLanes / 2; offset > 0; offset /= 2) sums[i] += __shfl_xor_sync(kAllLanes, sums[i], offset);
      const float norm = __fsqrt_rn(__double2float_rn(sums[i]));
      if (begin + i * kTeams + team < rows && norm > largest) largest = norm;  // NaN is never larger
    }
  }
  return warp_max(largest);
}

/// A block computes kWarps scores: y indexes the groups, z the entries.
template <typename T, int kSize, int kLanes>
__global__ void __launch_bounds__(kBlock) level_1_kernel(const __grid_constant__ Operands<T> o) {
  const Source<T>& source = o.sources[blockIdx.y];
  const int entry = static_cast<int>(blockIdx.x * blockDim.z + threadIdx.z), batch = static_cast<int>(blockIdx.z);
  if (entry >= o.pyramid.entries(1)) return;
  const T* tokens = source.x + batch * source.batch_stride + int64_t{entry} * o.pyramid.pooling * source.row_stride;
  for (int group = static_cast<int>(threadIdx.y); group < o.groups; group += static_cast<int>(blockDim.y)) {
    const float largest =
        largest_norm<T, kSize, kLanes>(source, tokens + int64_t{group} * source.share * source.head_stride,
                                       o.pyramid.pooling * source.share, o.head_dim);
    if (threadIdx.x == 0) source.scores[(int64_t{batch} * o.groups + group) * o.scored() + entry] = largest;
  }
}

/// Computes the levels above 1, each entry from the level-1 entries under it.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    upper_levels_kernel(const __grid_constant__ Operands<T> o, int64_t sequences) {
  const int upper = o.pyramid.all_entries() - o.pyramid.offsets[2];
  const int64_t index = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (index >= sequences * upper) return;
  float* scores = o.sources[blockIdx.y].scores + index / upper * o.scored();
  const int number = o.pyramid.offsets[2] + static_cast<int>(index % upper);
  int level = 2;
  while (number >= o.pyramid.offsets[level + 1]) ++level;
  const int count = o.pyramid.spans[level - 1], first = (number - o.pyramid.offsets[level]) * count;
  float largest = -INFINITY;
  for (int i = first; i < first + count; ++i) largest = fmaxf(largest, scores[i]);
  scores[number - o.pyramid.length] = largest;
}

/// A tensor and its scores.
struct Scoring {
  Tensor x, scores;
};

template <typename T, int kSize, int kLanes>
void launch(const Stream& stream, const std::vector<Scoring>& scorings, const LighthouseShape& shape) {
  const Tensor &x = scorings[0].x, &scores = scorings[0].scores;
  Operands<T> o{.sources = {},
                .pyramid = Pyramid(shape),
                .groups = static_cast<int>(scores.size(1)),
                .head_dim = static_cast<int>(x.size(3))};
  for (size_t i = 0; i < scorings.size(); ++i) {
    const Tensor& each = scorings[i].x;
    o.sources[i] = {data_of<T>(each),
                    each.stride(0),
                    each.stride(1),
                    each.stride(2),
                    scorings[i].scores.data<float>(),
                    static_cast<int>(each.size(2) / scores.size(1))};
  }
  const auto sources = static_cast<unsigned>(scorings.size());
  const int groups = std::min(o.groups, kWarps), entries = kWarps / groups;
  const dim3 block(kWarp, static_cast<unsigned>(groups), static_cast<unsigned>(entries));
  const dim3 grid(static_cast<unsigned>(ceil_div(shape.entries(1), entries)), sources,
                  static_cast<unsigned>(x.size(0)));
  level_1_kernel<T, kSize, kLanes><<<grid, block, 0, native(stream)>>>(o);
  LIGHTHOUSE_LAUNCHED("lighthouse scores of level 1");
  if (shape.levels == 2) return;
  const int64_t sequences = scores.size(0) * scores.size(1), upper = shape.all_entries() - shape.offset(2);
  const dim3 upper_grid(static_cast<unsigned>(ceil_div(sequences * upper, kBlock)), sources);
  upper_levels_kernel<T><<<upper_grid, kBlock, 0, native(stream)>>>(o, sequences);
  LIGHTHOUSE_LAUNCHED("lighthouse scores of upper levels");
}

void pool_norms(const Stream& stream, const std::vector<Scoring>& scorings, const LighthouseShape& shape) {
  bool all_pack = true;
  for (const Scoring& scoring : scorings) {
    all_pack = all_pack && can_pack(scoring.x.size(3), {&scoring.x}) && strides_pack(scoring.x);
  }
  with_float_pack(scorings[0].x, all_pack, [&](auto element, auto size) {
    using T = decltype(element);
    constexpr int kSize = decltype(size)::value;
    const int64_t row = scorings[0].x.size(3) / kSize;
    if (row <= 8) return launch<T, kSize, 8>(stream, scorings, shape);
    if (row <= 16) return launch<T, kSize, 16>(stream, scorings, shape);
    launch<T, kSize, 32>(stream, scorings, shape);
  });
}

/// The interleaved sequences of one batch entry of x [B, N, X, D]: [dilation, N / dilation, X, D].
Tensor streams_of(const Tensor& x, int64_t batch, int64_t dilation) {
  return x.split(1, x.size(1) / dilation, dilation).select(0, batch).transpose(0, 1);
}

struct DilatedScratch {
  Tensor out;        // [B, N, H, D]
  Tensor lse;        // float32 [N H]
  Tensor attention;  // bytes

  DilatedScratch(const Tensor& scratch, const Tensor& q) {
    auto* memory = static_cast<std::byte*>(scratch.raw());
    out = Tensor(memory, q.shape(), q.dtype(), q.device());
    int64_t begin = cuda_scratch::aligned(out.bytes());
    lse = Tensor(memory + begin, {q.size(1) * q.size(2)}, DType::kFloat32, q.device());
    begin += cuda_scratch::aligned(lse.bytes());
    attention = scratch.slice(0, begin, scratch.size(0));
  }
};

}  // namespace

void CudaBackend::do_lighthouse_norm_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k, const Tensor& q,
                                            const Tensor& k, const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_norm_scores");
  check_levels(shape);
  if (q.numel() == 0) return;
  pool_norms(stream, {{q, s_q}, {k, s_k}}, shape);
}

void CudaBackend::do_lighthouse_dilated_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k,
                                               const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                               int64_t dilation, const LighthouseShape& shape) {
  const ProfileRange range("lighthouse_dilated_scores");
  check_levels(shape);
  require(scratch.bytes() >= lighthouse_dilated_scores_scratch(q.shape(), k.size(2), dilation, shape),
          "lighthouse_dilated_scores", {&scratch, &q});
  const DilatedScratch parts(scratch, q);
  const int64_t share = q.size(2) / k.size(2), length = q.size(1) / dilation;
  const auto attend = [&](const Tensor& out, const Tensor& queries, const Tensor& keys, const Tensor& values) {
    const Tensor lse(parts.lse.raw(), {dilation, queries.size(2), length}, DType::kFloat32, q.device());
    attention_forward(stream, out, lse, parts.attention, queries, keys, values, {});
  };
  for (int64_t batch = 0; batch < q.size(0); ++batch) {
    attend(streams_of(parts.out, batch, dilation), streams_of(q, batch, dilation), streams_of(k, batch, dilation),
           streams_of(v, batch, dilation));
  }
  pool_norms(stream, {{parts.out, s_q}}, shape);
  // k are the queries, q the keys: the query heads of a group one after another.
  for (int64_t batch = 0; batch < q.size(0); ++batch) {
    for (int64_t turn = 0; turn < share; ++turn) {
      attend(streams_of(parts.out, batch, dilation).every(2, turn, share), streams_of(k, batch, dilation),
             streams_of(q, batch, dilation).every(2, turn, share), streams_of(v, batch, dilation));
    }
  }
  pool_norms(stream, {{parts.out, s_k}}, shape);
}

}  // namespace lighthouse::cuda
