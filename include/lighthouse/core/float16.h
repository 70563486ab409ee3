// IEEE half precision: many published models store weights in it. This program converts from it and does not compute in
// it.
#pragma once

#include <bit>
#include <cstdint>

#include "lighthouse/core/dtype.h"

namespace lighthouse {

struct Float16 {
  uint16_t bits;

  explicit operator float() const {
    const uint32_t sign = (bits & 0x8000u) << 16;
    const uint32_t magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    // The exponents' biases differ by 112. The product is exact, for subnormal numbers too.
    return std::bit_cast<float>(sign | magnitude << 13) * 0x1p112f;
  }
};

template <>
inline constexpr DType kDTypeOf<Float16> = DType::kFloat16;

}  // namespace lighthouse
