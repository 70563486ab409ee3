#include "kernel_test.h"

namespace lighthouse {
namespace {

struct Sizes {
  int64_t outputs, inputs;
};

/// Rows shorter and longer than a warp's first packs, such as have no packs, and outputs of which a warp has several.
class TokenLinearTest : public KernelTest {
 protected:
  static std::vector<Sizes> sizes() {
    std::vector<Sizes> result{{8, 8}, {1027, 1536}, {3072, 1024}, {72, 5000}, {1030, 72}};
    if (type() == DType::kFloat32) {  // of few numbers in bfloat16 one rounding is too much
      for (const Sizes& small : {Sizes{1, 1}, Sizes{5, 3}}) result.push_back(small);
    }
    for (const Sizes& other : {Sizes{1001, 77}, Sizes{16385, 264}, Sizes{300, 25000}}) result.push_back(other);
    return result;
  }
};

TEST_P(TokenLinearTest, WithANormBefore) {
  for (const Sizes& s : sizes()) {
    Comparison c = compare({s.outputs, s.inputs});
    const Operand out = c.output(type(), {1, s.outputs});
    const Operand x = c.input(type(), {1, s.inputs}), norm = c.input(type(), {s.inputs});
    const Operand weight = c.input(type(), {s.outputs, s.inputs});
    c.run([&](const Side& on) { on->token_norm_linear(on.stream, on(out), on(x), on(norm), 1e-5, on(weight)); });
    c.expect_close();
  }
}

TEST_P(TokenLinearTest, WithANormBeforeAndSwigluBehind) {
  for (const Sizes& s : sizes()) {
    Comparison c = compare({s.outputs, s.inputs});
    const Operand out = c.output(type(), {1, s.outputs});
    const Operand x = c.input(type(), {1, s.inputs}), norm = c.input(type(), {s.inputs});
    const Operand weight = c.input(type(), {2 * s.outputs, s.inputs});
    c.run([&](const Side& on) { on->token_norm_swiglu(on.stream, on(out), on(x), on(norm), 1e-5, on(weight)); });
    c.expect_close();
  }
}

TEST_P(TokenLinearTest, AddsToASum) {
  for (const Sizes& s : sizes()) {
    Comparison c = compare({s.outputs, s.inputs});
    const Operand sum = c.updated(type(), {1, s.outputs}), x = c.input(type(), {1, s.inputs});
    const Operand weight = c.input(type(), {s.outputs, s.inputs});
    c.run([&](const Side& on) { on->token_linear_add(on.stream, on(sum), on(x), on(weight)); });
    c.expect_close();
  }
}

/// A chain, as in a layer: each kernel is launched before the previous one ends, and reads its results.
TEST_P(TokenLinearTest, EachWaitsForTheOneBefore) {
  constexpr int64_t kHidden = 512, kWide = 1536;
  Comparison c = compare({kHidden, kWide});
  const Operand sum = c.updated(type(), {1, kHidden}), wide = c.output(type(), {1, kWide});
  const Operand norm = c.input(type(), {kHidden});
  const auto small = [&](const Shape& shape) {  // so that sums stay of one size
    Values values = random_values(shape.numel(), static_cast<uint32_t>(shape[0]));
    for (double& value : values) value *= 0.02;
    return c.input(type(), shape, values);
  };
  const Operand gate_up = small({2 * kWide, kHidden}), down = small({kHidden, kWide});
  c.run([&](const Side& on) {
    for (int layer = 0; layer < 50; ++layer) {
      on->token_norm_swiglu(on.stream, on(wide), on(sum), on(norm), 1e-5, on(gate_up));
      on->token_linear_add(on.stream, on(sum), on(wide), on(down));
    }
  });
  const double tolerance = type() == DType::kFloat32 ? 1e-4 : 0.05;  // of fifty layers, one after another
  double error = 0, norm_of_expected = 0;
  const Values actual = c.gpu(sum), expected = c.cpu(sum);
  for (size_t i = 0; i < actual.size(); ++i) {
    error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm_of_expected += expected[i] * expected[i];
  }
  EXPECT_LE(error, tolerance * tolerance * norm_of_expected);
}

INSTANTIATE_TEST_SUITE_P(Types, TokenLinearTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
