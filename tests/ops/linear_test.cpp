#include "op_test.h"

namespace lighthouse {
namespace {

struct Sizes {
  int64_t tokens, outputs, inputs;
};

class LinearTest : public OpTest, public testing::WithParamInterface<Sizes> {};

// Element (i, j) of a product over `inner`: sum of a(i, k) b(k, j).
template <typename A, typename B>
std::vector<double> product(int64_t rows, int64_t columns, int64_t inner, const A& a, const B& b) {
  std::vector<double> result;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < inner; ++k) sum += static_cast<double>(a(i, k)) * b(k, j);
      result.push_back(sum);
    }
  }
  return result;
}

TEST_P(LinearTest, ForwardAndBackward) {
  const auto [tokens, outputs, inputs] = GetParam();
  const Floats x = random_floats({tokens, inputs}, 1), weight = random_floats({outputs, inputs}, 2);
  const Floats dout = random_floats({tokens, outputs}, 3);
  const auto at = [](const Floats& m) { return [&m](int64_t i, int64_t j) { return m[i * m.tensor.size(1) + j]; }; };
  const auto transposed = [](const Floats& m) {
    return [&m](int64_t i, int64_t j) { return m[j * m.tensor.size(1) + i]; };
  };

  Floats out({tokens, outputs});
  backend_->linear_forward(stream_, out, Tensor(), x, weight);
  EXPECT_TRUE(close(out, product(tokens, outputs, inputs, at(x), transposed(weight)), 1e-4));

  Floats dx({tokens, inputs});
  backend_->linear_backward_input(stream_, dx, Tensor(), dout, weight);
  EXPECT_TRUE(close(dx, product(tokens, inputs, outputs, at(dout), at(weight)), 1e-4));

  Floats dweight = constant_floats({outputs, inputs}, 2.0f);
  backend_->linear_backward_weight(stream_, dweight, Tensor(), dout, x);
  EXPECT_TRUE(close(dweight, plus(product(outputs, inputs, tokens, transposed(dout), at(x)), 2.0), 1e-4));
}

INSTANTIATE_TEST_SUITE_P(Sizes, LinearTest,
                         testing::Values(Sizes{1, 1, 1}, Sizes{3, 5, 7}, Sizes{65, 70, 33}, Sizes{257, 513, 40},
                                         Sizes{40, 257, 515}, Sizes{530, 30, 260}));

}  // namespace
}  // namespace lighthouse
