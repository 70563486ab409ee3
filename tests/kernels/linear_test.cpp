#include "kernel_test.h"

namespace lighthouse {
namespace {

struct LinearSizes {
  int64_t tokens, outputs, inputs;
};

class LinearTest : public KernelTest {
 protected:
  /// In bfloat16 features are multiples of 8.
  static std::vector<LinearSizes> sizes() {
    std::vector<LinearSizes> result = {{1, 8, 8},       {1, 1027, 1536},   {1, 3072, 1024}, {17, 72, 384},
                                       {128, 1024, 72}, {257, 384, 1024},  {1000, 72, 8},   {1000, 8, 1024},
                                       {128, 72, 72},   {1000, 1024, 1024}};
    if (type() == DType::kFloat32) result.insert(result.end(), {{1, 1, 1}, {7, 5, 3}, {65, 53, 131}, {257, 1001, 77}});
    return result;
  }
  static int64_t scratch_bytes(const Backend& backend) { return backend.linear_scratch(); }
};

TEST_P(LinearTest, Forward) {
  for (const LinearSizes& s : sizes()) {
    Comparison c = compare({s.tokens, s.outputs, s.inputs});
    const Operand out = c.output(type(), {s.tokens, s.outputs}), scratch = c.scratch(scratch_bytes);
    const Operand x = c.input(type(), {s.tokens, s.inputs}), weight = c.input(type(), {s.outputs, s.inputs});
    c.run([&](const Side& on) { on->linear_forward(on.stream, on(out), on(scratch), on(x), on(weight)); });
    c.expect_close();
  }
}

TEST_P(LinearTest, BackwardInput) {
  for (const LinearSizes& s : sizes()) {
    Comparison c = compare({s.tokens, s.outputs, s.inputs});
    const Operand dx = c.output(type(), {s.tokens, s.inputs}), scratch = c.scratch(scratch_bytes);
    const Operand dout = c.input(type(), {s.tokens, s.outputs}), weight = c.input(type(), {s.outputs, s.inputs});
    c.run([&](const Side& on) { on->linear_backward_input(on.stream, on(dx), on(scratch), on(dout), on(weight)); });
    c.expect_close();
  }
}

TEST_P(LinearTest, BackwardWeightAddsToTheGradient) {
  for (const LinearSizes& s : sizes()) {
    Comparison c = compare({s.tokens, s.outputs, s.inputs});
    const Operand dweight = c.updated(DType::kFloat32, {s.outputs, s.inputs}), scratch = c.scratch(scratch_bytes);
    const Operand dout = c.input(type(), {s.tokens, s.outputs}), x = c.input(type(), {s.tokens, s.inputs});
    c.run([&](const Side& on) { on->linear_backward_weight(on.stream, on(dweight), on(scratch), on(dout), on(x)); });
    c.expect_close();
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LinearTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
