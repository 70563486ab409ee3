// Filling and copying.
#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/ops/check.h"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kBlock = 256;

template <typename T>
__global__ void __launch_bounds__(kBlock) fill_kernel(T* out, int64_t numel, T value) {
  constexpr int kSize = Pack<T>::kSize;
  const int64_t begin = (int64_t{blockIdx.x} * kBlock + threadIdx.x) * kSize;
  Pack<T> pack;
#pragma unroll
  for (int i = 0; i < kSize; ++i) pack.values[i] = value;
  if (begin + kSize <= numel && reinterpret_cast<uintptr_t>(out) % 16 == 0) {
    store_pack(out + begin, pack);
  } else {
    for (int64_t i = begin; i < min(numel, begin + kSize); ++i) out[i] = value;
  }
}

template <typename T>
void fill_with(const Stream& stream, const Tensor& out, T value) {
  const auto grid = static_cast<unsigned>(ceil_div(out.numel(), int64_t{kBlock} * Pack<T>::kSize));
  fill_kernel<<<grid, kBlock, 0, native(stream)>>>(data_of<T>(out), out.numel(), value);
  LIGHTHOUSE_LAUNCHED("fill");
}

constexpr int kCastSize = 4;   // elements of an access: 16 bytes on the float32 side
constexpr int kCastPacks = 4;  // packs of a thread, a block apart

template <typename To, typename From>
__global__ void __launch_bounds__(kBlock) cast_kernel(To* out, const From* in, int64_t numel) {
  const int64_t first = (int64_t{blockIdx.x} * kCastPacks * kBlock + threadIdx.x) * kCastSize;
  Pack<From, kCastSize> from[kCastPacks];
#pragma unroll
  for (int p = 0; p < kCastPacks; ++p) {
    const int64_t begin = first + int64_t{p} * kBlock * kCastSize;
    if (begin + kCastSize <= numel) from[p] = load_pack<From, kCastSize>(in + begin);
  }
#pragma unroll
  for (int p = 0; p < kCastPacks; ++p) {
    const int64_t begin = first + int64_t{p} * kBlock * kCastSize;
    if (begin + kCastSize <= numel) {
      Pack<To, kCastSize> to;
#pragma unroll
      for (int i = 0; i < kCastSize; ++i) to.values[i] = from_float<To>(to_float(from[p].values[i]));
      store_pack(out + begin, to);
    } else {
#pragma unroll 1
      for (int64_t i = begin; i < numel; ++i) out[i] = from_float<To>(to_float(in[i]));
    }
  }
}

template <typename To, typename From>
__global__ void __launch_bounds__(kBlock) unaligned_cast_kernel(To* out, const From* in, int64_t numel) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i < numel) out[i] = from_float<To>(to_float(in[i]));
}

template <typename To, typename From>
void cast(const Stream& stream, const Tensor& out, const Tensor& in) {
  const int64_t numel = out.numel();
  if (can_pack(8, {&out, &in})) {
    const auto grid = static_cast<unsigned>(ceil_div(numel, int64_t{kBlock} * kCastSize * kCastPacks));
    cast_kernel<<<grid, kBlock, 0, native(stream)>>>(data_of<To>(out), data_of<From>(in), numel);
  } else {
    const auto grid = static_cast<unsigned>(ceil_div(numel, kBlock));
    unaligned_cast_kernel<<<grid, kBlock, 0, native(stream)>>>(data_of<To>(out), data_of<From>(in), numel);
  }
  LIGHTHOUSE_LAUNCHED("copy");
}

}  // namespace

void CudaBackend::do_fill(const Stream& stream, const Tensor& out, float value) {
  const ProfileRange range("fill");
  if (out.numel() == 0) return;
  use_device();
  if (value == 0 && !std::signbit(value)) {
    LIGHTHOUSE_CUDA(cudaMemsetAsync(out.raw(), 0, static_cast<size_t>(out.bytes()), native(stream)));
    return;
  }
  switch (out.dtype()) {
    case DType::kFloat32:
      return fill_with(stream, out, value);
    case DType::kFloat64:
      return fill_with(stream, out, static_cast<double>(value));
    case DType::kInt32:
      return fill_with(stream, out, static_cast<int32_t>(value));
    case DType::kInt64:
      return fill_with(stream, out, static_cast<int64_t>(value));
    case DType::kUInt8:
      return fill_with(stream, out, static_cast<uint8_t>(value));
    case DType::kBFloat16:
      return fill_with(stream, out, __float2bfloat16_rn(value));
    case DType::kFloat16:
      throw std::logic_error("nothing is computed in float16");
  }
}

void CudaBackend::do_copy(const Stream& stream, const Tensor& out, const Tensor& in) {
  const ProfileRange range("copy");
  if (out.numel() == 0) return;
  use_device();
  if (out.dtype() == in.dtype()) {
    LIGHTHOUSE_CUDA(
        cudaMemcpyAsync(out.raw(), in.raw(), static_cast<size_t>(out.bytes()), cudaMemcpyDefault, native(stream)));
    return;
  }
  require(out.device().kind == DeviceKind::kCuda, "copy", {&out, &in});
  if (out.dtype() == DType::kFloat32) return cast<float, bfloat16>(stream, out, in);
  cast<bfloat16, float>(stream, out, in);
}

}  // namespace lighthouse::cuda
