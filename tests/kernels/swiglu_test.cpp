#include "kernel_test.h"

namespace lighthouse {
namespace {

class SwigluTest : public KernelTest {
 protected:
  static Shape pairs_of(const Shape& shape) { return {shape[0], 2 * shape[1]}; }
};

TEST_P(SwigluTest, Forward) {
  for (const Shape& shape : kRowShapes) {
    Comparison c = compare(shape);
    const Operand out = c.output(type(), shape), gate_up = c.input(type(), pairs_of(shape));
    c.run([&](const Side& on) { on->swiglu_forward(on.stream, on(out), on(gate_up)); });
    c.expect_close();
  }
}

TEST_P(SwigluTest, BackwardGivesTheOutputOnceMore) {
  for (const Shape& shape : kRowShapes) {
    Comparison c = compare(shape);
    const Operand dgate_up = c.output(type(), pairs_of(shape)), again = c.output(type(), shape);
    const Operand out = c.output(type(), shape);
    const Operand dout = c.input(type(), shape), gate_up = c.input(type(), pairs_of(shape));
    c.run([&](const Side& on) {
      on->swiglu_forward(on.stream, on(out), on(gate_up));
      on->swiglu_backward(on.stream, on(dgate_up), on(again), on(dout), on(gate_up));
    });
    c.expect_close();
    EXPECT_TRUE(c.same_on_gpu(again, out));
  }
}

TEST_P(SwigluTest, LargeGatesDoNotOverflow) {
  const Shape shape{1, 8};
  Comparison c = compare(shape);
  const Operand dgate_up = c.output(type(), pairs_of(shape)), out = c.output(type(), shape);
  const Operand dout = c.input(type(), shape, Values(8, 1));
  const Operand gate_up =
      c.input(type(), pairs_of(shape), {-200, 200, -1000, 1000, -90, 90, 0, 1, 3, 3, 3, 3, 3, 3, 3, 3});
  c.run([&](const Side& on) { on->swiglu_backward(on.stream, on(dgate_up), on(out), on(dout), on(gate_up)); });
  c.expect_close();
}

INSTANTIATE_TEST_SUITE_P(Types, SwigluTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
