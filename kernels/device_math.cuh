// Shared by all kernels: 16-byte accesses, conversions to float32, sums over a warp or a block.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "lighthouse/core/tensor.h"

namespace lighthouse::cuda {

using bfloat16 = __nv_bfloat16;

inline constexpr int kWarp = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffu;

/// Elements that one thread loads or stores at once: 16 bytes, or fewer where rows are not aligned for that.
template <typename T, int kCount = 16 / sizeof(T)>
struct alignas(kCount * sizeof(T)) Pack {
  static constexpr int kSize = kCount;
  T values[kSize];
};

/// Loads 16 or 8 bytes in one access. For a struct of elements the compiler sometimes emits one access for each.
template <typename Value>
__device__ inline Value load_whole(const void* from) {
  if constexpr (sizeof(Value) == sizeof(uint4)) {
    return __builtin_bit_cast(Value, *static_cast<const uint4*>(from));
  } else if constexpr (sizeof(Value) == sizeof(uint2)) {
    return __builtin_bit_cast(Value, *static_cast<const uint2*>(from));
  } else {
    return *static_cast<const Value*>(from);
  }
}

template <typename Value>
__device__ inline void store_whole(void* to, const Value& value) {
  if constexpr (sizeof(Value) == sizeof(uint4)) {
    __stwb(static_cast<uint4*>(to), __builtin_bit_cast(uint4, value));
  } else if constexpr (sizeof(Value) == sizeof(uint2)) {
    __stwb(static_cast<uint2*>(to), __builtin_bit_cast(uint2, value));
  } else {
    *static_cast<Value*>(to) = value;
  }
}

template <typename T, int kCount = Pack<T>::kSize>
__device__ inline Pack<T, kCount> load_pack(const T* from) {
  return load_whole<Pack<T, kCount>>(from);
}

/// Stores to device memory.
template <typename T, int kCount>
__device__ inline void store_pack(T* to, const Pack<T, kCount>& pack) {
  store_whole(to, pack);
}

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(bfloat16 x) {
  return __bfloat162float(x);
}

template <typename T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline bfloat16 from_float<bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

/// The sum is rounded explicitly, so that every kernel that computes a SwiGLU gets the same bits.
__device__ inline float sigmoid(float x) {
  return __fdividef(1.0f, __fadd_rn(1.0f, expf(-x)));
}

/// A pack that stays in registers, as whole words: the compiler would put each half of a word into its own register,
/// and would wait for a conditional load in order to split it.
template <typename T, int kSize>
struct alignas(kSize * sizeof(T)) Words {
  static constexpr int kWords = kSize * sizeof(T) / sizeof(uint32_t);
  uint32_t words[kWords];

  __device__ void clear() {
#pragma unroll
    for (uint32_t& word : words) word = 0;
  }
  __device__ float at(int i) const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return __uint_as_float(words[i]);
    } else {
      return __uint_as_float(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u);
    }
  }
  __device__ void set(const float (&values)[kSize]) {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      if constexpr (sizeof(T) == sizeof(float)) {
        words[w] = __float_as_uint(values[w]);
      } else {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(values[2 * w], values[2 * w + 1]);
        words[w] = *reinterpret_cast<const uint32_t*>(&pair);
      }
    }
  }
  /// Keeps the compiler from holding the elements in float32 beside the words from here on.
  __device__ void forget_conversions() {
#pragma unroll
    for (uint32_t& word : words) asm volatile("" : "+r"(word));
  }
};

template <typename T>
struct Words<T, 1> {
  T value;

  __device__ void clear() { value = from_float<T>(0.0f); }
  __device__ float at(int) const { return to_float(value); }
  __device__ void set(const float (&values)[1]) { value = from_float<T>(values[0]); }
  __device__ void forget_conversions() {}
};

template <typename T, int kSize>
__device__ inline Words<T, kSize> load_words(const T* from) {
  return load_whole<Words<T, kSize>>(from);
}

template <typename T, int kSize>
__device__ inline void store_words(T* to, const Words<T, kSize>& words) {
  store_whole(to, words);
}

template <typename T>
__device__ inline T warp_sum(T x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

__device__ inline float warp_max(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

/// Adds the sums of blockDim.x / 32 warps, whose places in `shared` begin at `first`, in a fixed order. All threads of
/// the block call this.
template <typename T>
__device__ inline T sum_of_warps(T warp, T* shared, int first) {
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  __syncthreads();  // a previous call's `shared` may still be read
  if (threadIdx.x % kWarp == 0) shared[first + threadIdx.x / kWarp] = warp;
  __syncthreads();
  T sum = T(0);
  for (int i = 0; i < warps; ++i) sum += shared[first + i];
  return sum;
}

/// The sum over the threads of a one-dimensional block, in a fixed order, in every thread. `shared` has a place for
/// each warp. All threads call this; blockDim.x is a multiple of 32.
template <typename T>
__device__ inline T block_sum(T x, T* shared) {
  return sum_of_warps(warp_sum(x), shared, 0);
}

/// The same over a team: the threads of a block with the same threadIdx.y.
template <typename T>
__device__ inline T team_sum(T x, T* shared) {
  x = warp_sum(x);
  if (blockDim.x == kWarp) return x;
  return sum_of_warps(x, shared, static_cast<int>(threadIdx.y * blockDim.x) / kWarp);
}

/// The element type of a tensor, in C++: calls function(T{}) with T float or bfloat16. Throws std::logic_error for
/// another.
template <typename Function>
void with_float_type(const Tensor& tensor, const Function& function) {
  if (tensor.dtype() == DType::kBFloat16) {
    function(bfloat16{});
  } else {
    tensor.data<float>();  // throws if it is not float32
    function(float{});
  }
}

/// Whether rows of `width` elements (or of a multiple, such as strides) can be accessed in 16-byte packs in each of the
/// tensors.
inline bool can_pack(int64_t width, std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* tensor : tensors) {
    const bool aligned = reinterpret_cast<uintptr_t>(tensor->raw()) % 16 == 0;
    if (!aligned || width * size_of(tensor->dtype()) % 16 != 0) return false;
  }
  return true;
}

/// Whether all rows of a strided [B, N, X, D] are aligned to packs.
inline bool strides_pack(const Tensor& x) {
  const int64_t size = 16 / size_of(x.dtype());
  return x.stride(0) % size == 0 && x.stride(1) % size == 0 && x.stride(2) % size == 0;
}

/// Calls function(T{}, std::integral_constant<int, n>{}) with T as with_float_type and n the elements of a pack of T; 1
/// unless `packed`.
template <typename Function>
void with_float_pack(const Tensor& tensor, bool packed, const Function& function) {
  with_float_type(tensor, [&](auto element) {
    if (packed) {
      function(element, std::integral_constant<int, Pack<decltype(element)>::kSize>{});
    } else {
      function(element, std::integral_constant<int, 1>{});
    }
  });
}

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// The address of a tensor's elements as CUDA's type.
template <typename T>
T* data_of(const Tensor& tensor) {
  return static_cast<T*>(tensor.raw());
}

}  // namespace lighthouse::cuda
