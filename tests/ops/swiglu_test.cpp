#include <algorithm>

#include "op_test.h"

namespace lighthouse {
namespace {

std::vector<double> swiglu(const std::vector<double>& gate_up, size_t width) {
  std::vector<double> out;
  for (size_t row = 0; row < gate_up.size(); row += 2 * width) {
    for (size_t f = 0; f < width; ++f) {
      const double gate = gate_up[row + f];
      out.push_back(gate / (1 + std::exp(-gate)) * gate_up[row + width + f]);
    }
  }
  return out;
}

class SwigluTest : public OpTest {};

TEST_F(SwigluTest, Forward) {
  const Floats gate_up = random_floats({9, 2 * 37}, 1, 4.0f);
  Floats out({9, 37});
  backend_->swiglu_forward(stream_, out, gate_up);
  EXPECT_TRUE(close(out, swiglu(values_of(gate_up), 37), 1e-6));
}

TEST_F(SwigluTest, BackwardIsTheNumericalGradient) {
  const Floats gate_up = random_floats({5, 2 * 19}, 1, 2.0f), dout = random_floats({5, 19}, 2);
  Floats dgate_up({5, 2 * 19}), out({5, 19});
  backend_->swiglu_backward(stream_, dgate_up, out, dout, gate_up);
  EXPECT_TRUE(close(out, swiglu(values_of(gate_up), 19), 1e-6));
  const auto loss = [&](const std::vector<double>& at) { return dot(swiglu(at, 19), values_of(dout)); };
  EXPECT_TRUE(close(dgate_up, numerical_gradient(loss, values_of(gate_up)), 1e-5));
}

TEST_F(SwigluTest, LargeGatesDoNotOverflow) {
  Floats gate_up({1, 4}), out({1, 2}), dgate_up({1, 4});
  const float values[] = {-200.0f, 200.0f, 3.0f, 3.0f};
  std::copy(std::begin(values), std::end(values), gate_up.values.begin());
  backend_->swiglu_forward(stream_, out, gate_up);
  EXPECT_TRUE(close(out, {0, 600}, 1e-6));
  backend_->swiglu_backward(stream_, dgate_up, out, constant_floats({1, 2}, 1.0f), gate_up);
  EXPECT_TRUE(close(dgate_up, {0, 3, 0, 200}, 1e-6));
}

}  // namespace
}  // namespace lighthouse
