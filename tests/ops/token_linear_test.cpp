#include <stdexcept>

#include "op_test.h"

namespace lighthouse {
namespace {

struct Sizes {
  int64_t outputs, inputs;
};

constexpr double kEpsilon = 1e-5;

class TokenLinearTest : public OpTest, public testing::WithParamInterface<Sizes> {
 protected:
  static std::vector<double> normed(const Floats& x, const Floats& norm) {
    double squares = 0;
    for (float value : x.values) squares += static_cast<double>(value) * value;
    const double rstd = 1 / std::sqrt(squares / static_cast<double>(x.values.size()) + kEpsilon);
    std::vector<double> result;
    for (size_t i = 0; i < x.values.size(); ++i) result.push_back(x.values[i] * rstd * norm.values[i]);
    return result;
  }
  static std::vector<double> product(const Floats& weight, const std::vector<double>& x) {
    std::vector<double> result;
    for (size_t row = 0; row < weight.values.size() / x.size(); ++row) {
      double sum = 0;
      for (size_t i = 0; i < x.size(); ++i) sum += weight.values[row * x.size() + i] * x[i];
      result.push_back(sum);
    }
    return result;
  }
};

TEST_P(TokenLinearTest, WithANormBefore) {
  const auto [outputs, inputs] = GetParam();
  const Floats x = random_floats({1, inputs}, 1), norm = random_floats({inputs}, 2);
  const Floats weight = random_floats({outputs, inputs}, 3);
  Floats out({1, outputs});
  backend_->token_norm_linear(stream_, out, x, norm, kEpsilon, weight);
  EXPECT_TRUE(close(out, product(weight, normed(x, norm)), 1e-4));
}

TEST_P(TokenLinearTest, WithANormBeforeAndSwigluBehind) {
  const auto [outputs, inputs] = GetParam();
  const Floats x = random_floats({1, inputs}, 1), norm = random_floats({inputs}, 2);
  const Floats gate_up = random_floats({2 * outputs, inputs}, 3);
  Floats out({1, outputs});
  backend_->token_norm_swiglu(stream_, out, x, norm, kEpsilon, gate_up);
  const std::vector<double> both = product(gate_up, normed(x, norm));
  std::vector<double> expected;
  for (size_t i = 0; i < out.values.size(); ++i) {
    expected.push_back(both[i] / (1 + std::exp(-both[i])) * both[i + out.values.size()]);
  }
  EXPECT_TRUE(close(out, expected, 1e-4));
}

TEST_P(TokenLinearTest, AddsToASum) {
  const auto [outputs, inputs] = GetParam();
  const Floats x = random_floats({1, inputs}, 1), weight = random_floats({outputs, inputs}, 2);
  Floats sum = constant_floats({1, outputs}, 2.0f);
  backend_->token_linear_add(stream_, sum, x, weight);
  EXPECT_TRUE(close(sum, plus(product(weight, {x.values.begin(), x.values.end()}), 2.0), 1e-4));
}

INSTANTIATE_TEST_SUITE_P(Sizes, TokenLinearTest,
                         testing::Values(Sizes{1, 1}, Sizes{5, 7}, Sizes{70, 33}, Sizes{513, 1040}));

TEST(TokenLinear, RefusesShapesThatDoNotFit) {
  const auto backend = make_cpu_backend();
  const Stream stream = backend->compute_stream();
  const Floats x({1, 4}), weight({6, 4}), norm({4}), shorter({3});
  const Floats two({2, 4}), out({1, 6}), half({1, 3}), wrong({1, 5});
  EXPECT_THROW(backend->token_norm_linear(stream, wrong, x, norm, 1, weight), std::logic_error);
  EXPECT_THROW(backend->token_norm_linear(stream, out, x, shorter, 1, weight), std::logic_error);
  EXPECT_THROW(backend->token_norm_linear(stream, out, two, norm, 1, weight), std::logic_error);
  EXPECT_THROW(backend->token_norm_swiglu(stream, out, x, norm, 1, weight), std::logic_error);
  EXPECT_NO_THROW(backend->token_norm_swiglu(stream, half, x, norm, 1, weight));
  EXPECT_THROW(backend->token_linear_add(stream, half, x, weight), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
