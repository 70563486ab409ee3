#include "op_test.h"

namespace lighthouse {
namespace {

constexpr double kEpsilon = 1e-5;

struct Reference {
  std::vector<double> out, rstd;
};

Reference rmsnorm(const std::vector<double>& x, const std::vector<double>& weight) {
  const size_t columns = weight.size(), rows = x.size() / columns;
  Reference result{std::vector<double>(x.size()), std::vector<double>(rows)};
  for (size_t t = 0; t < rows; ++t) {
    double sum = 0;
    for (size_t c = 0; c < columns; ++c) sum += x[t * columns + c] * x[t * columns + c];
    result.rstd[t] = 1 / std::sqrt(sum / static_cast<double>(columns) + kEpsilon);
    for (size_t c = 0; c < columns; ++c) {
      result.out[t * columns + c] = x[t * columns + c] * result.rstd[t] * weight[c];
    }
  }
  return result;
}

class RmsNormTest : public OpTest {};

TEST_F(RmsNormTest, Forward) {
  const Floats x = random_floats({19, 53}, 1), weight = random_floats({53}, 2);
  Floats out({19, 53}), rstd({19});
  backend_->rmsnorm_forward(stream_, out, rstd, x, weight, kEpsilon);
  const Reference expected = rmsnorm(values_of(x), values_of(weight));
  EXPECT_TRUE(close(out, expected.out, 1e-6));
  EXPECT_TRUE(close(rstd, expected.rstd, 1e-6));
}

TEST_F(RmsNormTest, ResidualForwardAlsoInPlace) {
  const Floats x = random_floats({19, 53}, 1), weight = random_floats({53}, 2);
  Floats residual = random_floats({19, 53}, 3);
  std::vector<double> total = values_of(x);
  for (size_t i = 0; i < total.size(); ++i) total[i] = static_cast<float>(total[i] + residual.values[i]);
  const Reference expected = rmsnorm(total, values_of(weight));

  Floats sum({19, 53}), out({19, 53}), rstd({19});
  backend_->rmsnorm_residual_forward(stream_, sum, out, rstd, residual, x, weight, kEpsilon);
  EXPECT_TRUE(close(sum, total, 0));
  EXPECT_TRUE(close(out, expected.out, 1e-6));
  EXPECT_TRUE(close(rstd, expected.rstd, 1e-6));

  backend_->rmsnorm_residual_forward(stream_, residual, out, rstd, residual, x, weight, kEpsilon);
  EXPECT_TRUE(close(residual, total, 0));
  EXPECT_TRUE(close(out, expected.out, 1e-6));
}

TEST_F(RmsNormTest, BackwardAddsTheNumericalGradients) {
  for (const int64_t rows : {3, 70}) {
    const int64_t columns = 21;
    const Floats x = random_floats({rows, columns}, 1), weight = random_floats({columns}, 2);
    const Floats dout = random_floats({rows, columns}, 3);
    Floats out({rows, columns}), rstd({rows});
    backend_->rmsnorm_forward(stream_, out, rstd, x, weight, kEpsilon);
    Floats dx = constant_floats({rows, columns}, 0.5f), dweight = constant_floats({columns}, -0.25f);
    const auto scratch = scratch_of(backend_->rmsnorm_backward_scratch(rows, columns));
    backend_->rmsnorm_backward(stream_, dx, dweight, scratch, dout, x, weight, rstd);

    const auto loss_of_x = [&](const std::vector<double>& at) {
      return dot(rmsnorm(at, values_of(weight)).out, values_of(dout));
    };
    const auto loss_of_weight = [&](const std::vector<double>& at) {
      return dot(rmsnorm(values_of(x), at).out, values_of(dout));
    };
    EXPECT_TRUE(close(dx, plus(numerical_gradient(loss_of_x, values_of(x)), 0.5), 2e-5));
    EXPECT_TRUE(close(dweight, plus(numerical_gradient(loss_of_weight, values_of(weight)), -0.25), 2e-5));
  }
}

}  // namespace
}  // namespace lighthouse
