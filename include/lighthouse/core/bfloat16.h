// bfloat16 on the host: the upper half of a float32.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "lighthouse/core/dtype.h"

namespace lighthouse {

struct BFloat16 {
  uint16_t bits;

  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};

/// The nearest bfloat16, ties to even; a NaN stays one.
inline BFloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

template <>
inline constexpr DType kDTypeOf<BFloat16> = DType::kBFloat16;

}  // namespace lighthouse
