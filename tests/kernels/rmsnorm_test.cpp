#include "kernel_test.h"

namespace lighthouse {
namespace {

constexpr double kEpsilon = 1e-5;

class RmsnormTest : public KernelTest {
 protected:
  /// What a sum is stored as before it is normalised.
  static void round_to_type(const Tensor& sum) {
    float* data = sum.data<float>();
    const Values stored = rounded(Values(data, data + sum.numel()), type());
    std::transform(stored.begin(), stored.end(), data, [](double value) { return static_cast<float>(value); });
  }
};

TEST_P(RmsnormTest, Forward) {
  for (const Shape& shape : kRowShapes) {
    Comparison c = compare(shape);
    const Operand x = c.input(type(), shape), weight = c.input(type(), {shape[1]});
    const Operand out = c.output(type(), shape), rstd = c.output(DType::kFloat32, {shape[0]});
    c.run([&](const Side& on) { on->rmsnorm_forward(on.stream, on(out), on(rstd), on(x), on(weight), kEpsilon); });
    c.expect_close();
  }
}

TEST_P(RmsnormTest, ResidualForwardNormalisesTheStoredSum) {
  for (const Shape& shape : kRowShapes) {
    Comparison c = compare(shape);
    const Operand residual = c.input(type(), shape), x = c.input(type(), shape), weight = c.input(type(), {shape[1]});
    const Operand sum = c.output(type(), shape), out = c.output(type(), shape), again = c.output(type(), shape);
    const Operand rstd = c.output(DType::kFloat32, {shape[0]}), rstd_again = c.output(DType::kFloat32, {shape[0]});
    c.run([&](const Side& on) {
      on->rmsnorm_residual_forward(on.stream, on(sum), on(out), on(rstd), on(residual), on(x), on(weight), kEpsilon);
      if (!on.is_gpu()) {
        round_to_type(on(sum));
        on->rmsnorm_forward(on.stream, on(out), on(rstd), on(sum), on(weight), kEpsilon);
      }
      on->rmsnorm_forward(on.stream, on(again), on(rstd_again), on(sum), on(weight), kEpsilon);
    });
    c.expect_close();
    EXPECT_TRUE(c.same_on_gpu(out, again));
    EXPECT_TRUE(c.same_on_gpu(rstd, rstd_again));
  }
}

TEST_P(RmsnormTest, ResidualForwardInPlace) {
  for (const Shape& shape : {Shape{65, 72}, Shape{7, 53}, Shape{129, 4104}}) {
    Comparison c = compare(shape);
    const Values values = random_values(shape.numel(), 9);
    const Operand residual = c.input(type(), shape, values), in_place = c.updated(type(), shape, values);
    const Operand x = c.input(type(), shape), weight = c.input(type(), {shape[1]});
    const Operand sum = c.output(type(), shape), out = c.output(type(), shape), again = c.output(type(), shape);
    const Operand rstd = c.output(DType::kFloat32, {shape[0]});
    c.run_on_gpu([&](const Side& on) {
      on->rmsnorm_residual_forward(on.stream, on(sum), on(out), on(rstd), on(residual), on(x), on(weight), kEpsilon);
      on->rmsnorm_residual_forward(on.stream, on(in_place), on(again), on(rstd), on(in_place), on(x), on(weight),
                                   kEpsilon);
    });
    EXPECT_TRUE(c.same_on_gpu(in_place, sum));
    EXPECT_TRUE(c.same_on_gpu(again, out));
  }
}

TEST_P(RmsnormTest, BackwardAddsToBothGradients) {
  for (const Shape& shape : kRowShapes) {
    Comparison c = compare(shape);
    const Operand dx = c.updated(type(), shape), dweight = c.updated(DType::kFloat32, {shape[1]});
    const Operand scratch = c.scratch([&](const Backend& b) { return b.rmsnorm_backward_scratch(shape[0], shape[1]); });
    const Operand dout = c.input(type(), shape), x = c.input(type(), shape), weight = c.input(type(), {shape[1]});
    const Operand rstd = c.input(DType::kFloat32, {shape[0]}, random_positive_values(shape[0], 1));
    c.run([&](const Side& on) {
      on->rmsnorm_backward(on.stream, on(dx), on(dweight), on(scratch), on(dout), on(x), on(weight), on(rstd));
    });
    c.expect_close();
  }
}

INSTANTIATE_TEST_SUITE_P(Types, RmsnormTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
