// The matrix products of a single token, fused with the norm, SwiGLU or sum next to them, for generating text. They
// read the weights once, at the speed of memory; tiles of a general matrix product would be mostly empty. Each
// operation is one launch, and prefetches its weights while the kernels before it still run.
#include <cstdint>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "early_launch.cuh"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int64_t kManyOutputs = 16384;  // enough for all multiprocessors with several outputs a warp

enum class Around : uint8_t { kNorm, kNormAndSwiglu, kSum };

template <typename T>
struct Operands {
  T* out;
  const T *x, *norm, *weight;
  float epsilon;
  int64_t outputs;
  int inputs;
};

/// A lane's packs of a stretch of a row, a warp apart.
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

/// Prefetches the columns from `begin` on into the L2 cache.
template <typename T>
__device__ void prefetch_row(const T* row, int begin, int columns) {
  constexpr int kLine = 128 / sizeof(T);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int column = begin + lane * kLine; column < columns; column += kWarp * kLine) prefetch(row + column);
}

/// Waits for x and writes its RMSNorm to `normed`, rounded as rmsnorm_forward rounds. All threads of the block call
/// this.
template <typename T, int kSize>
__device__ void wait_and_normalise(T* normed, const Operands<T>& o) {
  __shared__ float of_warps[kWarps];
  const int first = static_cast<int>(threadIdx.x) * kSize;
  const auto load = [&](const T* row, int column) {
    Words<T, kSize> words;
    words.clear();
    if (column < o.inputs) words = load_words<T, kSize>(row + column);
    return words;
  };
  const Words<T, kSize> weight = load(o.norm, first);
  wait_for_previous_kernels();
  const Words<T, kSize> x = load(o.x, first);
  float squares = 0;
  const auto add = [&](const Words<T, kSize>& words) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) squares += words.at(i) * words.at(i);
  };
  add(x);
  for (int column = first + kThreads * kSize; column < o.inputs; column += kThreads * kSize) add(load(o.x, column));
  const float rstd = 1.0f / sqrtf(block_sum(squares, of_warps) / static_cast<float>(o.inputs) + o.epsilon);
  const auto store = [&](int column, const Words<T, kSize>& words, const Words<T, kSize>& by) {
    if (column >= o.inputs) return;
#pragma unroll
    for (int i = 0; i < kSize; ++i) normed[column + i] = from_float<T>(words.at(i) * rstd * by.at(i));
  };
  store(first, x, weight);
  for (int column = first + kThreads * kSize; column < o.inputs; column += kThreads * kSize) {
    store(column, load(o.x, column), load(o.norm, column));
  }
  __syncthreads();
}

/// The value after rounding to T.
template <typename T>
__device__ float stored(float x) {
  return to_float(from_float<T>(x));
}

/// Sets the rows of weights of a warp and loads their beginning.
template <bool kPair, typename T, typename Part, int kRows>
__device__ void prefetch_rows(const T* (&rows)[kRows], Part (&weights)[kRows], const Operands<T>& o, int64_t output) {
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const bool there = (kPair ? output : output + r) < o.outputs;
    rows[r] = o.weight + (output + (kPair ? r * o.outputs : r)) * o.inputs;
    weights[r].load(rows[r], 0, there ? o.inputs : 0);
    if (there) prefetch_row(rows[r], Part::kStretch, o.inputs);
  }
}

/// A warp has kRows rows of weights: those of kRows outputs, or SwiGLU's two rows of one output. It loads their
/// beginning before it waits for x.
template <typename T, int kSize, Around kAround, int kRows>
__global__ void __launch_bounds__(kThreads) token_linear_kernel(Operands<T> o) {
  constexpr bool kPair = kAround == Around::kNormAndSwiglu;
  constexpr int kPacks = kAround == Around::kSum ? 8 : 4;
  using Part = Share<T, kSize, kPacks>;
  extern __shared__ __align__(16) unsigned char shared[];
  allow_next_kernel();
  const int64_t warp = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  const int64_t output = kPair ? warp : warp * kRows;
  const T* rows[kRows];
  Part weights[kRows];
  prefetch_rows<kPair>(rows, weights, o, output);
  const T* x = o.x;
  if constexpr (kAround == Around::kSum) {
    wait_for_previous_kernels();
  } else {
    T* normed = reinterpret_cast<T*>(shared);
    wait_and_normalise<T, kSize>(normed, o);
    x = normed;
  }
  if (output >= o.outputs) return;
  const float before = kAround == Around::kSum ? to_float(o.out[output]) : 0.0f;
  float sums[kRows] = {};
  for (int begin = 0; begin < o.inputs; begin += Part::kStretch) {
    Part part;
    part.load(x, begin, o.inputs);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (begin > 0) weights[r].load(rows[r], begin, kPair || output + r < o.outputs ? o.inputs : 0);
      sums[r] += weights[r].dot(part);
    }
  }
#pragma unroll
  for (float& sum : sums) sum = stored<T>(warp_sum(sum));
  if (threadIdx.x % kWarp != 0) return;
  if constexpr (kPair) {
    o.out[output] = from_float<T>(sums[0] * sigmoid(sums[0]) * sums[1]);
  } else {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (output + r < o.outputs) o.out[output + r] = from_float<T>(before + sums[r]);
    }
  }
}

template <Around kAround, int kRows>
void token_linear(const Stream& stream, bool early, const Tensor& out, const Tensor& x, const Tensor* norm,
                  double epsilon, const Tensor& weight) {
  constexpr int kOutputs = kAround == Around::kNormAndSwiglu ? 1 : kRows;  // of a warp
  const dim3 grid(static_cast<unsigned>(ceil_div(out.numel(), kWarps * kOutputs)));
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
    const auto kernel = token_linear_kernel<T, decltype(size)::value, kAround, kRows>;
    const auto shared = norm != nullptr ? static_cast<int>(x.bytes()) : 0;
    constexpr int kAlways = 48 * 1024 - 1024;  // shared memory available without an attribute
    if (shared > kAlways) {
      LIGHTHOUSE_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
    }
    launch(native(stream), early, grid, kThreads, static_cast<size_t>(shared), kernel, o);
  });
}

}  // namespace

void CudaBackend::do_token_norm_linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                       double epsilon, const Tensor& weight) {
  const ProfileRange range("token_norm_linear");
  if (out.numel() < kManyOutputs) {
    token_linear<Around::kNorm, 1>(stream, launches_early(), out, x, &norm, epsilon, weight);
  } else {
    token_linear<Around::kNorm, 4>(stream, launches_early(), out, x, &norm, epsilon, weight);
  }
}

void CudaBackend::do_token_norm_swiglu(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                       double epsilon, const Tensor& gate_up) {
  const ProfileRange range("token_norm_swiglu");
  token_linear<Around::kNormAndSwiglu, 2>(stream, launches_early(), out, x, &norm, epsilon, gate_up);
}

void CudaBackend::do_token_linear_add(const Stream& stream, const Tensor& sum, const Tensor& x, const Tensor& weight) {
  const ProfileRange range("token_linear_add");
  token_linear<Around::kSum, 1>(stream, launches_early(), sum, x, nullptr, 0, weight);
}

}  // namespace lighthouse::cuda
