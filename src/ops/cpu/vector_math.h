// Elementary functions that the compiler can vectorise: branch-free, on floats.
#pragma once

#include <bit>
#include <cstdint>

namespace lighthouse::cpu {

/// e^x with a relative error below 2e-7. Results below 2^-125 are 0; results above the largest float are infinite; NaN
/// stays NaN. Cody-Waite: x = n ln 2 + r with |r| <= ln(2)/2, e^x = 2^n e^r, e^r by a polynomial of degree 7.
inline float exp(float x) {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;  // few bits, so that n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, left in the low bits
  constexpr float kLowest = -86.6f;        // e^x > 2^-125 above it

  const float clamped = x < kLowest ? kLowest : (x > 89.0f ? 89.0f : x);
  const float shifted = clamped * kLog2E + kRounder;
  const float n = shifted - kRounder;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;

  float p = 1.9875691500e-4f;  // coefficients of Cephes (Moshier): minimax on this range
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;

  // 2^(n-1) always has an exponent in range; the last doubling overflows to infinity only where e^x does.
  const float half_scale = std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 126u) << 23);
  const float result = p * half_scale * 2.0f;
  return x < kLowest ? 0.0f : result;
}

inline float sigmoid(float x) {
  return 1.0f / (1.0f + exp(-x));
}

}  // namespace lighthouse::cpu
