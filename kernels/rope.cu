// Rotary position embedding. A thread rotates the same elements of several heads of a token, so that it reads the
// cosines and sines once.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/ops/check.h"
#include "profile_range.h"
#include "rotation.cuh"

namespace lighthouse::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kHeads = 4;  // heads of a thread, spaced so that a warp's accesses are contiguous

__global__ void __launch_bounds__(kBlock)
    table_kernel(float* cos, float* sin, int64_t numel, unsigned half, RopeSettings rope) {
  const int64_t index = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (index >= numel) return;
  const int64_t position = index / half, i = index % half;
  const double frequency =
      scaled_frequency(pow(rope.theta, -static_cast<double>(i) / static_cast<double>(half)), rope.scaling);
  double sine, cosine;
  sincos(static_cast<double>(position) * frequency, &sine, &cosine);
  cos[index] = static_cast<float>(cosine);
  sin[index] = static_cast<float>(sine);
}

template <typename T>
struct Operands {
  T* x;
  const float *cos, *sin;
  int64_t batch_stride, position_stride, head_stride;
  int tokens = 0, length = 0, heads = 0, half = 0;
  int packs = 0;             // of half a head
  int groups = 0;            // of heads
  int tokens_per_block = 0;  // a token takes packs * groups threads
};

template <typename T, int kSize>
__device__ void rotate(Words<T, kSize>& first, Words<T, kSize>& second, const Angles<kSize>& angles) {
  float a[kSize], b[kSize];
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    a[i] = first.at(i);
    b[i] = second.at(i);
  }
  angles.rotate(a, b);
  first.set(a);
  second.set(b);
}

// Rotates one pack of both halves of each head of a group.
template <typename T, int kSize>
__device__ void rotate_group(const Operands<T>& operands, int token, int group, int column, float direction) {
  const int batch = token / operands.length, position = token % operands.length;
  const int64_t in_table = int64_t{position} * operands.half + column;
  T* heads = operands.x + batch * operands.batch_stride + position * operands.position_stride + column;
  Words<T, kSize> first[kHeads], second[kHeads];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const int head = group + h * operands.groups;
    if (head >= operands.heads) continue;
    first[h] = load_words<T, kSize>(heads + head * operands.head_stride);
    second[h] = load_words<T, kSize>(heads + head * operands.head_stride + operands.half);
  }
  const Angles<kSize> angles(operands.cos + in_table, operands.sin + in_table, direction);
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const int head = group + h * operands.groups;
    if (head >= operands.heads) continue;
    rotate(first[h], second[h], angles);
    store_words(heads + head * operands.head_stride, first[h]);
    store_words(heads + head * operands.head_stride + operands.half, second[h]);
  }
}

template <typename T, int kSize>
__global__ void __launch_bounds__(kBlock) rotate_kernel(Operands<T> operands, float direction) {
  const int first = static_cast<int>(blockIdx.x) * operands.tokens_per_block;
  const int tokens = min(operands.tokens_per_block, operands.tokens - first);
  const int per_token = operands.packs * operands.groups;
  for (int item = static_cast<int>(threadIdx.x); item < tokens * per_token; item += kBlock) {
    const int of_token = item % per_token;
    rotate_group<T, kSize>(operands, first + item / per_token, of_token / operands.packs,
                           of_token % operands.packs * kSize, direction);
  }
}

template <typename T, int kSize>
void launch(const Stream& stream, const char* operation, const Tensor& x, const Tensor& cos, const Tensor& sin,
            float direction) {
  Operands<T> operands{data_of<T>(x), cos.data<float>(), sin.data<float>(), x.stride(0), x.stride(1), x.stride(2)};
  operands.length = static_cast<int>(x.size(1));
  operands.tokens = static_cast<int>(x.size(0) * x.size(1));
  operands.heads = static_cast<int>(x.size(2));
  operands.half = static_cast<int>(x.size(3) / 2);
  operands.packs = operands.half / kSize;
  operands.groups = (operands.heads + kHeads - 1) / kHeads;
  operands.tokens_per_block = std::max(1, kBlock / (operands.packs * operands.groups));
  const auto grid = static_cast<unsigned>(ceil_div(operands.tokens, operands.tokens_per_block));
  rotate_kernel<T, kSize><<<grid, kBlock, 0, native(stream)>>>(operands, direction);
  LIGHTHOUSE_LAUNCHED(operation);
}

// `direction` is 1 to rotate and -1 to rotate back.
void rotate(const Stream& stream, const char* operation, const Tensor& x, const Tensor& cos, const Tensor& sin,
            float direction) {
  require(x.size(0) * x.size(1) <= std::numeric_limits<int>::max(), operation, {&x});
  if (x.numel() == 0) return;
  with_float_pack(x, can_pack(x.size(3) / 2, {&x, &cos, &sin}) && strides_pack(x), [&](auto element, auto size) {
    launch<decltype(element), decltype(size)::value>(stream, operation, x, cos, sin, direction);
  });
}

}  // namespace

void CudaBackend::do_rope_table(const Stream& stream, const Tensor& cos, const Tensor& sin, const RopeSettings& rope) {
  const ProfileRange range("rope_table");
  if (cos.numel() == 0) return;
  const auto grid = static_cast<unsigned>(ceil_div(cos.numel(), kBlock));
  table_kernel<<<grid, kBlock, 0, native(stream)>>>(cos.data<float>(), sin.data<float>(), cos.numel(),
                                                    static_cast<unsigned>(cos.size(1)), rope);
  LIGHTHOUSE_LAUNCHED("rope_table");
}

void CudaBackend::do_rope_forward(const Stream& stream, const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const ProfileRange range("rope_forward");
  rotate(stream, "rope_forward", x, cos, sin, 1.0f);
}

void CudaBackend::do_rope_backward(const Stream& stream, const Tensor& dx, const Tensor& cos, const Tensor& sin) {
  const ProfileRange range("rope_backward");
  rotate(stream, "rope_backward", dx, cos, sin, -1.0f);
}

}  // namespace lighthouse::cuda
