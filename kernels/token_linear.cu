// The matrix products of a single token, with what stands around them in a layer: what generating text is made of. They
// have to read the weights once, as fast as memory gives them; a matrix product's tiles would mostly hold nothing. Each
// is one launch, and fetches its weights while those before it still run.
#include <cstdint>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "early_launch.cuh"
#include "lighthouse/ops/decode_shapes.h"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRowsPerBlock = kThreads / kWarp;

enum class Around : uint8_t { kNorm, kNormAndSwiglu, kSum };

template <typename T>
struct Operands {
  T* out;
  const T *x, *norm, *weight;
  float epsilon;
  int64_t outputs;
  int inputs;
};

/// A lane's share of a stretch of a row: packs a warp apart.
template <typename T, int kSize, int kPacks>
struct Share {
  static constexpr int kStretch = kPacks * kWarp * kSize;
  Words<T, kSize> packs[kPacks];

  __device__ void load(const T* row, int begin, int columns) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int column = begin + (p * kWarp + static_cast<int>(threadIdx.x) % kWarp) * kSize;
      packs[p].clear();
      if (column < columns) packs[p] = load_words<T, kSize>(row + column);
    }
  }
  /// As RMSNorm stores it: rounded.
  __device__ void normalise(float rstd, const Share& weight) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      float values[kSize];
#pragma unroll
      for (int i = 0; i < kSize; ++i) values[i] = packs[p].at(i) * rstd * weight.packs[p].at(i);
      packs[p].set(values);
    }
  }
  __device__ float dot(const Share& other) const {
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum += packs[p].at(i) * other.packs[p].at(i);
    }
    return sum;
  }
};

/// Columns from `begin` on come nearer.
template <typename T>
__device__ void prefetch_row(const T* row, int begin, int columns) {
  constexpr int kLine = 128 / sizeof(T);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int column = begin + lane * kLine; column < columns; column += kWarp * kLine) prefetch(row + column);
}

template <typename Part, typename T>
__device__ float rstd_of(const T* x, int columns, float epsilon) {
  float squares = 0;
  for (int begin = 0; begin < columns; begin += Part::kStretch) {
    Part part;
    part.load(x, begin, columns);
    squares += part.dot(part);
  }
  return 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(columns) + epsilon);
}

/// What a value is once it is stored.
template <typename T>
__device__ float stored(float x) {
  return to_float(from_float<T>(x));
}

/// An output is a warp's, which holds the beginning of its row of weights (of SwiGLU's two rows) before it waits for x.
template <typename T, int kSize, Around kAround>
__global__ void __launch_bounds__(kThreads) token_linear_kernel(Operands<T> o) {
  constexpr int kRows = kAround == Around::kNormAndSwiglu ? 2 : 1;
  constexpr int kPacks = kAround == Around::kSum ? 8 : 4;  // no norm: longer rows, and registers for them
  using Part = Share<T, kSize, kPacks>;
  let_next_begin();
  const int64_t output = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (output >= o.outputs) return;
  const T* rows[kRows];
  Part weights[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    rows[r] = o.weight + (output + r * o.outputs) * o.inputs;
    weights[r].load(rows[r], 0, o.inputs);
    prefetch_row(rows[r], Part::kStretch, o.inputs);
  }
  if (kAround != Around::kSum) prefetch_row(o.norm, 0, o.inputs);
  wait_for_those_before();

  const float before = kAround == Around::kSum ? to_float(o.out[output]) : 0.0f;
  const float rstd = kAround == Around::kSum ? 1.0f : rstd_of<Part>(o.x, o.inputs, o.epsilon);
  float sums[kRows] = {};
  for (int begin = 0; begin < o.inputs; begin += Part::kStretch) {
    Part x;
    x.load(o.x, begin, o.inputs);
    if constexpr (kAround != Around::kSum) {
      Part norm;
      norm.load(o.norm, begin, o.inputs);
      x.normalise(rstd, norm);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (begin > 0) weights[r].load(rows[r], begin, o.inputs);
      sums[r] += weights[r].dot(x);
    }
  }
#pragma unroll
  for (float& sum : sums) sum = stored<T>(warp_sum(sum));
  if (threadIdx.x % kWarp != 0) return;
  float result = before + sums[0];
  if constexpr (kAround == Around::kNormAndSwiglu) {
    result = sums[0] * __fdividef(1.0f, 1.0f + expf(-sums[0])) * sums[1];
  }
  o.out[output] = from_float<T>(result);
}

template <Around kAround>
void token_linear(const Stream& stream, bool early, const Tensor& out, const Tensor& x, const Tensor* norm,
                  double epsilon, const Tensor& weight) {
  const dim3 grid(static_cast<unsigned>(ceil_div(out.numel(), kRowsPerBlock)));
  const bool packed = can_pack(x.numel(), {&x, &weight, norm != nullptr ? norm : &x});
  with_float_pack(out, packed, [&](auto element, auto size) {
    using T = decltype(element);
    const Operands<T> o{data_of<T>(out),
                        data_of<T>(x),
                        norm != nullptr ? data_of<T>(*norm) : nullptr,
                        data_of<T>(weight),
                        static_cast<float>(epsilon),
                        out.numel(),
                        static_cast<int>(x.numel())};
    launch(native(stream), early, grid, kThreads, 0, token_linear_kernel<T, decltype(size)::value, kAround>, o);
  });
}

}  // namespace

void CudaBackend::token_norm_linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                    double epsilon, const Tensor& weight) {
  const ProfileRange range("token_norm_linear");
  require_token_norm_linear(out, x, norm, weight);
  token_linear<Around::kNorm>(stream, launches_early(), out, x, &norm, epsilon, weight);
}

void CudaBackend::token_norm_swiglu(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                    double epsilon, const Tensor& gate_up) {
  const ProfileRange range("token_norm_swiglu");
  require_token_norm_swiglu(out, x, norm, gate_up);
  token_linear<Around::kNormAndSwiglu>(stream, launches_early(), out, x, &norm, epsilon, gate_up);
}

void CudaBackend::token_linear_add(const Stream& stream, const Tensor& sum, const Tensor& x, const Tensor& weight) {
  const ProfileRange range("token_linear_add");
  require_token_linear_add(sum, x, weight);
  token_linear<Around::kSum>(stream, launches_early(), sum, x, nullptr, 0, weight);
}

}  // namespace lighthouse::cuda
