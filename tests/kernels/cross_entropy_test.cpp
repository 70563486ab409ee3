#include <limits>

#include "kernel_test.h"

namespace lighthouse {
namespace {

struct CrossEntropySizes {
  int64_t rows, width, vocab_size;

  Shape logits() const { return {rows, width}; }
};

class CrossEntropyTest : public KernelTest {
 protected:
  static constexpr double kScale = 0.125;

  static std::vector<CrossEntropySizes> sizes() {
    return {{1, 128, 127}, {1025, 128, 128},  {129, 384, 257},     {65, 1000, 999},
            {7, 1000, 2},  {9, 50304, 50257}, {9, 128256, 128001}, {1, 128256, 128256}};
  }
  /// Padding that changes results if it counts.
  static Values logits(const CrossEntropySizes& s) {
    Values result = random_values(s.rows * s.width, 1, 3.0f);
    for (int64_t i = 0; i < s.rows * s.width; ++i) {
      if (i % s.width >= s.vocab_size) result[static_cast<size_t>(i)] = 1000;
    }
    return result;
  }
  /// The last valid column, none, the first one, one between.
  static Values targets(const CrossEntropySizes& s) {
    Values result;
    for (int64_t t = 0; t < s.rows; ++t) {
      const int64_t choices[] = {s.vocab_size - 1, -1, 0, t * 7919 % s.vocab_size};
      result.push_back(static_cast<double>(choices[t % 4]));
    }
    return result;
  }
};

TEST_P(CrossEntropyTest, Forward) {
  for (const CrossEntropySizes& s : sizes()) {
    Comparison c = compare({s.rows, s.width, s.vocab_size});
    const Operand losses = c.output(DType::kFloat32, {s.rows}), logit = c.input(type(), s.logits(), logits(s));
    const Operand target = c.input(DType::kInt32, {s.rows}, targets(s));
    c.run(
        [&](const Side& on) { on->cross_entropy_forward(on.stream, on(losses), on(logit), on(target), s.vocab_size); });
    c.expect_close();
  }
}

TEST_P(CrossEntropyTest, ForwardBackwardTurnsLogitsIntoTheirGradient) {
  for (const CrossEntropySizes& s : sizes()) {
    Comparison c = compare({s.rows, s.width, s.vocab_size});
    const Operand losses = c.output(DType::kFloat32, {s.rows}), logit = c.updated(type(), s.logits(), logits(s));
    const Operand target = c.input(DType::kInt32, {s.rows}, targets(s));
    c.run([&](const Side& on) {
      on->cross_entropy_forward_backward(on.stream, on(losses), on(logit), on(target), s.vocab_size, kScale);
    });
    c.expect_close();
    const Values gradient = c.gpu(logit), of_target = targets(s);
    for (int64_t i = 0; i < s.rows * s.width; ++i) {
      const bool no_part = i % s.width >= s.vocab_size || of_target[static_cast<size_t>(i / s.width)] < 0;
      ASSERT_TRUE(!no_part || gradient[static_cast<size_t>(i)] == 0) << "element " << i;
    }
  }
}

TEST_P(CrossEntropyTest, LossOfALogitThatIsNotFiniteIsNotFinite) {
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const CrossEntropySizes& s : {CrossEntropySizes{4, 384, 257}, CrossEntropySizes{4, 50304, 50257}}) {
    Values values = logits(s);
    const size_t row = static_cast<size_t>(s.width), last = static_cast<size_t>(s.vocab_size) - 1;
    values[row + 100] = infinity;
    values[2 * row] = nan;
    values[3 * row + last] = nan;
    Comparison c = compare({s.rows, s.width, s.vocab_size});
    const Operand losses = c.output(DType::kFloat32, {s.rows}), again = c.output(DType::kFloat32, {s.rows});
    const Operand logit = c.updated(type(), s.logits(), values);
    const Operand target = c.input(DType::kInt32, {s.rows}, Values(4, 5));
    c.run_on_gpu([&](const Side& on) {
      on->cross_entropy_forward(on.stream, on(losses), on(logit), on(target), s.vocab_size);
      on->cross_entropy_forward_backward(on.stream, on(again), on(logit), on(target), s.vocab_size, kScale);
    });
    for (const Values& loss : {c.gpu(losses), c.gpu(again)}) {
      EXPECT_TRUE(std::isfinite(loss[0]));
      for (size_t t = 1; t < 4; ++t) EXPECT_FALSE(std::isfinite(loss[t])) << "row " << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CrossEntropyTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
