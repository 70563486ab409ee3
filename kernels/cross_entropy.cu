// Cross entropy: a thread block for each row. The first pass finds the largest logit and the sum of exponentials, the
// second writes the gradient. Shared memory keeps as much of the row as fits; the rest is read from the L2 cache.
#include <algorithm>
#include <cmath>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kMaxBlock = 1024;
constexpr int kBatch = 4;  // packs that a thread loads at once
constexpr float kLog2E = 1.4426950408889634f;
// Below any logit that matters, and finite in units of ln 2, so that differences of peaks are never NaN.
constexpr float kNoPeak = -1e38f;

template <typename T>
struct Operands {
  float* losses;
  T* logits;  // overwritten with the gradient in the backward pass
  const int32_t* targets;
  int width, vocab_size;
  float scale;
  int kept;  // number of a thread's first packs that stay in shared memory
};

// 2^x with a relative error below 2^-22; results below 2^-126 are 0. NaN stays NaN.
__device__ inline float exp2_fast(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// e^logit / e^peak is 2^(logit log2 e - shift). One rounding, and `shift` is the same for all of a row.
struct RowSum {
  float peak = kNoPeak;
  float total = 0;  // of e^(logit - peak)

  // Explicit roundings: the compiler fuses nothing, and every kernel gets the same bits.
  static __device__ float shift_of(float peak) { return __fmul_rn(peak, kLog2E); }
  __device__ void rebase(float new_peak) {
    total = __fmul_rn(total, exp2_fast(__fsub_rn(shift_of(peak), shift_of(new_peak))));
    peak = new_peak;
  }
  // In float64, because a small loss is the difference of two large numbers.
  __device__ float loss(float of_target) const {
    const double lse =
        static_cast<double>(shift_of(peak)) / static_cast<double>(kLog2E) + log(static_cast<double>(total));
    return static_cast<float>(lse - static_cast<double>(of_target));
  }
};

// The logits of a pack; -inf in the padding columns, which contributes nothing.
template <typename T, int kSize>
__device__ Words<T, kSize> load_logits(const T* row, int column, int vocab_size) {
  if (column + kSize <= vocab_size) return load_words<T, kSize>(row + column);
  float values[kSize];
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] = column + i < vocab_size ? to_float(row[column + i]) : -INFINITY;
  Words<T, kSize> pack;
  pack.set(values);
  return pack;
}

// fmaxf ignores a NaN, but the total becomes NaN.
template <typename T, int kSize>
__device__ void absorb(RowSum& sum, const Words<T, kSize> (&packs)[kBatch]) {
  float peak = sum.peak;
#pragma unroll
  for (int j = 0; j < kBatch; ++j) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) peak = fmaxf(peak, packs[j].at(i));
  }
  if (peak > sum.peak) sum.rebase(peak);
  const float shift = RowSum::shift_of(peak);
#pragma unroll
  for (int j = 0; j < kBatch; ++j) {
    float total = 0;
#pragma unroll
    for (int i = 0; i < kSize; ++i) total += exp2_fast(fmaf(packs[j].at(i), kLog2E, -shift));
    sum.total += total;
  }
}

// The row's peak and total, the same bits in every thread.
__device__ inline void reduce(RowSum& sum) {
  __shared__ float of_warps[kMaxBlock / kWarp];
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const float of_warp = warp_max(sum.peak);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = of_warp;
  __syncthreads();
  float peak = of_warps[0];
  for (int warp = 1; warp < warps; ++warp) peak = fmaxf(peak, of_warps[warp]);
  sum.rebase(peak);
  sum.total = block_sum(sum.total, of_warps);
}

// A thread's packs of a row are a block apart.
template <int kSize>
__device__ int column_of(int pack) {
  return static_cast<int>(pack * blockDim.x + threadIdx.x) * kSize;
}

template <typename T, int kSize>
__device__ void load_batch(Words<T, kSize> (&batch)[kBatch], const T* row, int first, int vocab_size) {
  if (column_of<kSize>(first + kBatch - 1) + kSize <= vocab_size) {
#pragma unroll
    for (int j = 0; j < kBatch; ++j) batch[j] = load_words<T, kSize>(row + column_of<kSize>(first + j));
  } else {
#pragma unroll
    for (int j = 0; j < kBatch; ++j) batch[j] = load_logits<T, kSize>(row, column_of<kSize>(first + j), vocab_size);
  }
}

template <typename T, int kSize>
__device__ RowSum sum_row(const Operands<T>& operands, const T* row, int packs, Words<T, kSize>* kept) {
  RowSum sum;
  for (int first = 0; first < packs; first += kBatch) {
    Words<T, kSize> batch[kBatch];
    load_batch(batch, row, first, operands.vocab_size);
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      if (first + j < operands.kept) kept[(first + j) * blockDim.x + threadIdx.x] = batch[j];
    }
    absorb(sum, batch);
  }
  reduce(sum);
  return sum;
}

template <typename T, int kSize>
__device__ void write_gradient(const Operands<T>& operands, T* row, int column, Words<T, kSize> pack, int target,
                               float shift, float factor) {
  float values[kSize];
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    float gradient = exp2_fast(fmaf(pack.at(i), kLog2E, -shift)) * factor;
    if (column + i == target) gradient -= operands.scale;
    if (column + i >= operands.vocab_size) gradient = 0;  // even if `factor` is NaN
    values[i] = gradient;
  }
  pack.set(values);
  store_words(row + column, pack);
}

template <typename T, int kSize>
__device__ void clear_row(const Operands<T>& operands, T* row, int packs) {
  Words<T, kSize> zeros;
  zeros.clear();
  for (int p = 0; p < packs; ++p) {
    if (column_of<kSize>(p) < operands.width) store_words(row + column_of<kSize>(p), zeros);
  }
}

// Each thread overwrites its own packs, the last read first: they are still in the caches.
template <typename T, int kSize>
__device__ void gradient_of_row(const Operands<T>& operands, T* row, int packs, const Words<T, kSize>* kept, int target,
                                const RowSum& sum) {
  const float shift = RowSum::shift_of(sum.peak), factor = operands.scale / sum.total;
#pragma unroll 4
  for (int p = packs - 1; p >= operands.kept; --p) {
    const int column = column_of<kSize>(p);
    if (column >= operands.width) continue;
    const auto pack = load_logits<T, kSize>(row, column, operands.vocab_size);
    write_gradient(operands, row, column, pack, target, shift, factor);
  }
  for (int p = operands.kept - 1; p >= 0; --p) {
    const int column = column_of<kSize>(p);
    if (column >= operands.width) continue;
    write_gradient(operands, row, column, kept[p * blockDim.x + threadIdx.x], target, shift, factor);
  }
}

template <typename T, int kSize, bool kBackward>
__global__ void __launch_bounds__(kMaxBlock) cross_entropy_kernel(Operands<T> operands) {
  extern __shared__ uint4 shared[];
  auto* kept = reinterpret_cast<Words<T, kSize>*>(shared);
  T* row = operands.logits + int64_t{blockIdx.x} * operands.width;
  const int packs = (operands.width / kSize + static_cast<int>(blockDim.x) - 1) / static_cast<int>(blockDim.x);
  const int target = operands.targets[blockIdx.x];
  if (target < 0) {
    if (threadIdx.x == 0) operands.losses[blockIdx.x] = 0;
    if constexpr (kBackward) clear_row<T, kSize>(operands, row, packs);
    return;
  }
  // Read before any thread overwrites it with the gradient: before the barriers of sum_row.
  const float of_target = target < operands.vocab_size ? to_float(row[target]) : NAN;
  const RowSum sum = sum_row<T, kSize>(operands, row, packs, kept);
  if (threadIdx.x == 0) operands.losses[blockIdx.x] = sum.loss(of_target);
  if constexpr (kBackward) gradient_of_row<T, kSize>(operands, row, packs, kept, target, sum);
}

// Threads of a row: as many as have a batch each, up to the largest block.
int block_of(int64_t packs) {
  return static_cast<int>(std::clamp<int64_t>(ceil_div(ceil_div(packs, kBatch), kWarp) * kWarp, kWarp, kMaxBlock));
}

template <typename T, int kSize, bool kBackward>
void launch(const Stream& stream, Operands<T> operands, int64_t rows, size_t shared_memory) {
  const auto kernel = cross_entropy_kernel<T, kSize, kBackward>;
  const int64_t packs = operands.width / kSize;
  const int block = block_of(packs);
  const int64_t of_block = block * int64_t{sizeof(Words<T, kSize>)};
  constexpr int64_t kStatic = 1024;  // bytes of shared memory that the kernel declares statically
  if (kBackward && kSize > 1) {
    const int64_t room = (static_cast<int64_t>(shared_memory) - kStatic) / of_block;
    operands.kept = static_cast<int>(std::clamp<int64_t>(room, 0, ceil_div(packs, block)));
  }
  const auto shared = static_cast<int>(operands.kept * of_block);
  LIGHTHOUSE_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  kernel<<<static_cast<unsigned>(rows), block, shared, native(stream)>>>(operands);
  LIGHTHOUSE_LAUNCHED("cross_entropy");
}

template <bool kBackward>
void launch_rows(const Stream& stream, const Tensor& losses, const Tensor& logits, const Tensor& targets,
                 int64_t vocab_size, double scale, size_t shared_memory) {
  if (logits.size(0) == 0) return;
  with_float_pack(logits, can_pack(logits.size(1), {&logits}), [&](auto element, auto size) {
    using T = decltype(element);
    const Operands<T> operands{losses.data<float>(),
                               data_of<T>(logits),
                               targets.data<int32_t>(),
                               static_cast<int>(logits.size(1)),
                               static_cast<int>(vocab_size),
                               static_cast<float>(scale),
                               0};
    launch<T, decltype(size)::value, kBackward>(stream, operands, logits.size(0), shared_memory);
  });
}

}  // namespace

void CudaBackend::do_cross_entropy_forward(const Stream& stream, const Tensor& losses, const Tensor& logits,
                                           const Tensor& targets, int64_t vocab_size) {
  const ProfileRange range("cross_entropy_forward");
  launch_rows<false>(stream, losses, logits, targets, vocab_size, 0, 0);
}

void CudaBackend::do_cross_entropy_forward_backward(const Stream& stream, const Tensor& losses, const Tensor& logits,
                                                    const Tensor& targets, int64_t vocab_size, double scale) {
  const ProfileRange range("cross_entropy_forward_backward");
  launch_rows<true>(stream, losses, logits, targets, vocab_size, scale, properties_.sharedMemPerBlockOptin);
}

}  // namespace lighthouse::cuda
