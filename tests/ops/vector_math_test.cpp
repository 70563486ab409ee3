#include "../../src/ops/cpu/vector_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace lighthouse {
namespace {

TEST(VectorMath, ExpIsWithinItsError) {
  double worst = 0;
  for (int i = -866000; i <= 887000; ++i) {
    const float x = static_cast<float>(i) * 1e-4f;
    const double expected = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(cpu::exp(x) - expected) / expected);
  }
  EXPECT_LT(worst, 2e-7);
}

TEST(VectorMath, ExpAtTheEnds) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(cpu::exp(0.0f), 1.0f);
  EXPECT_EQ(cpu::exp(-kInfinity), 0.0f);
  EXPECT_EQ(cpu::exp(-1000.0f), 0.0f);
  EXPECT_EQ(cpu::exp(89.0f), kInfinity);
  EXPECT_EQ(cpu::exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(cpu::exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_EQ(cpu::sigmoid(-kInfinity), 0.0f);
  EXPECT_EQ(cpu::sigmoid(kInfinity), 1.0f);
}

}  // namespace
}  // namespace lighthouse
