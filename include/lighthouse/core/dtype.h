// Element types of tensors.
#pragma once

#include <cstdint>
#include <string_view>

namespace lighthouse {

enum class DType : uint8_t { kFloat32, kFloat64, kBFloat16, kFloat16, kInt32, kInt64, kUInt8 };

/// Bytes of one element.
constexpr int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kFloat64:
    case DType::kInt64:
      return 8;
    case DType::kBFloat16:
    case DType::kFloat16:
      return 2;
    case DType::kUInt8:
      return 1;
  }
  return 0;
}

/// Whether files may store weights in this type: float32, bfloat16 or float16.
constexpr bool is_weight_type(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kBFloat16 || dtype == DType::kFloat16;
}

/// "float32", "bfloat16", ...
std::string_view name_of(DType dtype);

/// The DType of a C++ element type: `kDTypeOf<float>`.
template <typename T>
inline constexpr DType kDTypeOf = [] { static_assert(sizeof(T) == 0, "no tensor holds this type"); }();
template <>
inline constexpr DType kDTypeOf<float> = DType::kFloat32;
template <>
inline constexpr DType kDTypeOf<double> = DType::kFloat64;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::kInt32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kInt64;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::kUInt8;

}  // namespace lighthouse
