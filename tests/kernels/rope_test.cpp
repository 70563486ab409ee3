#include "kernel_test.h"

namespace lighthouse {
namespace {

class RopeTest : public KernelTest {
 protected:
  void expect_table_close(int64_t length, int64_t half, const RopeSettings& theta) {
    Comparison c = compare({length, half});
    const Operand cos = c.output(DType::kFloat32, {length, half}), sin = c.output(DType::kFloat32, {length, half});
    c.run([&](const Side& on) { on->rope_table(on.stream, on(cos), on(sin), theta); });
    c.expect_close();
  }
};

TEST_P(RopeTest, Table) {
  expect_table_close(1, 4, 10000);
  expect_table_close(7, 53, 500000);
  expect_table_close(1025, 64, 500000);
  expect_table_close(1025, 64, {500000, {RopeScalingKind::kLinear, 4}});
  expect_table_close(1025, 64, {500000, {RopeScalingKind::kLlama3, 8, 1, 4, 256}});
}

// Angles rounded to float32 are wrong by 0.03 here.
TEST_P(RopeTest, TableIsRightFarOut) {
  expect_table_close(1000000, 2, 500000);
}

// Some heads of a fused tensor: the others must not change.
TEST_P(RopeTest, ForwardAndBackwardOnAStridedView) {
  for (const Shape& fused : {Shape{1, 1, 4, 8}, Shape{2, 7, 7, 106}, Shape{1, 64, 5, 32}, Shape{2, 65, 9, 64},
                             Shape{1, 129, 11, 128}, Shape{2, 1025, 6, 72}}) {
    Comparison c = compare(fused);
    const Shape table{fused[1], fused[3] / 2};
    const Operand x = c.updated(type(), fused), dx = c.updated(type(), fused);
    const Operand cos = c.input(DType::kFloat32, table), sin = c.input(DType::kFloat32, table);
    c.run([&](const Side& on) {
      on->rope_forward(on.stream, on(x).slice(2, 1, fused[2] - 2), on(cos), on(sin));
      on->rope_backward(on.stream, on(dx).slice(2, 1, fused[2] - 2), on(cos), on(sin));
    });
    c.expect_close();
  }
}

INSTANTIATE_TEST_SUITE_P(Types, RopeTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
