#include <numbers>

#include "op_test.h"

namespace lighthouse {
namespace {

class RopeTest : public OpTest {};

TEST_F(RopeTest, RotatesAStridedViewAndBack) {
  const int64_t length = 33, heads = 3, half = 12;
  const double theta = 10000;
  Floats cos({length, half}), sin({length, half});
  backend_->rope_table(stream_, cos, sin, theta);

  const Floats original = random_floats({2, length, heads + 2, 2 * half}, 1);
  Floats fused({2, length, heads + 2, 2 * half});
  fused.values = original.values;
  fused.tensor = Tensor(fused.values.data(), original.tensor.shape(), DType::kFloat32);
  const Tensor view = fused.tensor.slice(2, 1, 1 + heads);
  backend_->rope_forward(stream_, view, cos, sin);

  std::vector<double> expected = values_of(original);
  for (int64_t row = 0; row < 2 * length; ++row) {
    for (int64_t head = 1; head <= heads; ++head) {
      for (int64_t i = 0; i < half; ++i) {
        const auto at = static_cast<size_t>((row * (heads + 2) + head) * 2 * half + i);
        const double angle = static_cast<double>(row % length) * std::pow(theta, -static_cast<double>(i) / half);
        const double a = expected[at], b = expected[at + half];
        expected[at] = a * std::cos(angle) - b * std::sin(angle);
        expected[at + half] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }
  EXPECT_TRUE(close(fused, expected, 1e-6));
  backend_->rope_backward(stream_, view, cos, sin);
  EXPECT_TRUE(close(fused, values_of(original), 1e-6));
}

// A table with angles rounded to float32 is wrong by 0.03 here.
TEST_F(RopeTest, TableIsRightFarOut) {
  const int64_t length = 1000000;
  Floats cos({length, 1}), sin({length, 1});
  backend_->rope_table(stream_, cos, sin, 500000);
  EXPECT_NEAR(cos[length - 1], std::cos(999999.0), 1e-7);
  EXPECT_NEAR(sin[length - 1], std::sin(999999.0), 1e-7);
}

TEST_F(RopeTest, ScalingChangesFrequencies) {
  const RopeScaling linear{RopeScalingKind::kLinear, 4};
  EXPECT_DOUBLE_EQ(scaled_frequency(0.5, linear), 0.125);
  EXPECT_DOUBLE_EQ(scaled_frequency(0.5, RopeScaling{}), 0.5);
  const RopeScaling llama3{RopeScalingKind::kLlama3, 8, 1, 4, 8192};
  const auto frequency_of = [](double wavelength) { return 2 * std::numbers::pi / wavelength; };
  // Wavelengths below 8192 / 4 stay, those above 8192 grow eightfold, and halfway in periods (2.5) it is their mean.
  EXPECT_DOUBLE_EQ(scaled_frequency(frequency_of(2000), llama3), frequency_of(2000));
  EXPECT_DOUBLE_EQ(scaled_frequency(frequency_of(9000), llama3), frequency_of(9000) / 8);
  const double middle = frequency_of(8192 / 2.5);
  EXPECT_NEAR(scaled_frequency(middle, llama3), (middle + middle / 8) / 2, 1e-15);
}

TEST_F(RopeTest, TableIsOfScaledFrequencies) {
  Floats cos({64, 4}), sin({64, 4});
  const RopeScaling scaling{RopeScalingKind::kLlama3, 8, 1, 4, 32};
  backend_->rope_table(stream_, cos, sin, {100, scaling});
  for (int64_t position : {1, 63}) {
    for (int64_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(position) * scaled_frequency(std::pow(100.0, -i / 4.0), scaling);
      EXPECT_NEAR(cos[position * 4 + i], std::cos(angle), 1e-6);
      EXPECT_NEAR(sin[position * 4 + i], std::sin(angle), 1e-6);
    }
  }
}

}  // namespace
}  // namespace lighthouse
