#include "lighthouse/core/copy_elements.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "lighthouse/core/bfloat16.h"
#include "lighthouse/core/float16.h"

namespace lighthouse {
namespace {

float of_bits(uint16_t bits) {
  return static_cast<float>(Float16{bits});
}

TEST(Float16Test, AllOfItsNumbersAreWidenedExactly) {
  for (int bits = 0; bits < 1 << 16; ++bits) {
    const float value = of_bits(static_cast<uint16_t>(bits));
    const int exponent = bits >> 10 & 31;
    const int fraction = bits & 1023;
    double expected = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31) expected = fraction == 0 ? INFINITY : NAN;
    if (bits >> 15 != 0) expected = -expected;
    ASSERT_TRUE(value == expected || (std::isnan(value) && std::isnan(expected))) << bits;
    ASSERT_EQ(std::signbit(value), bits >> 15 != 0) << bits;
  }
  EXPECT_EQ(of_bits(0x3c00), 1.0f);
  EXPECT_EQ(of_bits(0xfbff), -65504.0f);
}

TEST(CopyElementsTest, ConvertsBetweenWeightTypes) {
  std::vector<Float16> half{{0x3c00}, {0xc100}, {0x3555}};  // 1, -2.5, 0.33325
  std::vector<float> single(3);
  std::vector<BFloat16> brain(3);
  const Tensor halves(half.data(), {3}, DType::kFloat16);
  const Tensor singles(single.data(), {3}, DType::kFloat32);
  const Tensor brains(brain.data(), {3}, DType::kBFloat16);
  copy_elements(singles, halves);
  EXPECT_EQ(single, (std::vector<float>{1, -2.5f, 0.333251953125f}));
  copy_elements(brains, halves);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(brain[i].bits, to_bfloat16(single[i]).bits);
  copy_elements(singles, brains);
  EXPECT_EQ(single, (std::vector<float>{1, -2.5f, 0.333984375f}));

  std::vector<Float16> same(3);
  copy_elements(Tensor(same.data(), {3}, DType::kFloat16), halves);
  EXPECT_EQ(same[2].bits, 0x3555);
  std::vector<int32_t> numbers(3);
  EXPECT_THROW(copy_elements(singles, Tensor(numbers.data(), {3}, DType::kInt32)), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
