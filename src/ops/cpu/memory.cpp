#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>

#include "cpu_backend.h"
#include "lighthouse/core/bfloat16.h"
#include "lighthouse/core/units.h"

namespace lighthouse::cpu {
namespace {

template <typename T>
void fill_with(const Tensor& out, float value) {
  T* data = out.data<T>();
  const int64_t numel = out.numel();
  const T element = static_cast<T>(value);
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < numel; ++i) data[i] = element;
}

template <typename From, typename To, typename Convert>
void convert(const Tensor& out, const Tensor& in, const Convert& converted) {
  To* to = out.data<To>();
  const From* from = in.data<From>();
  const int64_t numel = out.numel();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < numel; ++i) to[i] = converted(from[i]);
}

}  // namespace

void CpuBackend::do_fill(const Stream&, const Tensor& out, float value) {
  switch (out.dtype()) {
    case DType::kFloat32:
      return fill_with<float>(out, value);
    case DType::kFloat64:
      return fill_with<double>(out, value);
    case DType::kInt32:
      return fill_with<int32_t>(out, value);
    case DType::kInt64:
      return fill_with<int64_t>(out, value);
    case DType::kUInt8:
      return fill_with<uint8_t>(out, value);
    case DType::kBFloat16:
      std::fill_n(out.data<BFloat16>(), out.numel(), to_bfloat16(value));
      return;
    case DType::kFloat16:
      throw std::logic_error("nothing is computed in float16");
  }
}

void CpuBackend::do_copy(const Stream&, const Tensor& out, const Tensor& in) {
  if (out.dtype() == DType::kFloat32 && in.dtype() == DType::kBFloat16) {
    return convert<BFloat16, float>(out, in, [](BFloat16 value) { return static_cast<float>(value); });
  }
  if (out.dtype() == DType::kBFloat16 && in.dtype() == DType::kFloat32) {
    return convert<float, BFloat16>(out, in, to_bfloat16);
  }
  constexpr int64_t kBlock = 256 * kKibibyte;
  const int64_t bytes = out.bytes();
  auto* to = static_cast<std::byte*>(out.raw());
  const auto* from = static_cast<const std::byte*>(in.raw());
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < bytes; begin += kBlock) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(std::min(kBlock, bytes - begin)));
  }
}

}  // namespace lighthouse::cpu
