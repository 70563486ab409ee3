// The product of a matrix and one vector: what a linear layer is when text is generated token by token. It has to read
// the weights once, as fast as memory gives them; a matrix product's tiles would mostly hold nothing.
#include <cstdint>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "early_launch.cuh"
#include "matvec.h"

namespace lighthouse::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRowsPerBlock = kThreads / kWarp;
constexpr int kPacks = 4;  // that a lane has on their way at once

/// A row of the weights is a warp's: its lanes take packs in turn, and what they sum is added in a fixed order.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    matvec_kernel(T* out, const T* x, const T* weight, int64_t outputs, int inputs) {
  constexpr int kSize = Pack<T>::kSize;
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (row >= outputs) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const T* weights = weight + row * inputs;
  let_next_begin();
  // The weights were there before: they come nearer while the kernel that makes x still runs.
  constexpr int kLine = 128 / sizeof(T);
  for (int column = lane * kLine; column < inputs; column += kWarp * kLine) prefetch(weights + column);
  wait_for_those_before();
  float sum = 0;
  for (int begin = lane * kSize; begin < inputs; begin += kPacks * kWarp * kSize) {
    Words<T, kSize> w[kPacks], in[kPacks];
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int column = begin + p * kWarp * kSize;
      w[p].clear();
      in[p].clear();
      if (column < inputs) {
        w[p] = load_words<T, kSize>(weights + column);
        in[p] = load_words<T, kSize>(x + column);
      }
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum += w[p].at(i) * in[p].at(i);
    }
  }
  sum = warp_sum(sum);
  if (lane == 0) out[row] = from_float<T>(sum);
}

}  // namespace

bool can_matvec(const Tensor& out, const Tensor& x, const Tensor& weight) {
  return x.size(0) == 1 && out.dtype() == weight.dtype() && x.dtype() == weight.dtype() &&
         can_pack(x.size(1), {&x, &weight});
}

void matvec(const Stream& stream, bool early, const Tensor& out, const Tensor& x, const Tensor& weight) {
  const int64_t outputs = weight.size(0);
  const dim3 grid(static_cast<unsigned>(ceil_div(outputs, kRowsPerBlock)));
  with_float_type(out, [&](auto element) {
    using T = decltype(element);
    launch(native(stream), early, grid, kThreads, 0, matvec_kernel<T>, data_of<T>(out), data_of<T>(x),
           data_of<T>(weight), outputs, static_cast<int>(x.size(1)));
  });
}

}  // namespace lighthouse::cuda
