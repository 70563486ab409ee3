#include <algorithm>
#include <cstddef>
#include <cstring>

#include "check.h"
#include "cpu_backend.h"

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

}  // namespace

void CpuBackend::fill(const Stream&, const Tensor& out, float value) {
  require(contiguous(out) && out.dtype() != DType::kBFloat16, "fill", {&out});
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
      return;
  }
}

void CpuBackend::copy(const Stream&, const Tensor& out, const Tensor& in) {
  require(contiguous(out, in) && out.dtype() == in.dtype() && out.numel() == in.numel(), "copy", {&out, &in});
  constexpr int64_t kBlock = int64_t{1} << 18;  // bytes
  const int64_t bytes = out.bytes();
  auto* to = static_cast<std::byte*>(out.raw());
  const auto* from = static_cast<const std::byte*>(in.raw());
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < bytes; begin += kBlock) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(std::min(kBlock, bytes - begin)));
  }
}

}  // namespace lighthouse::cpu
