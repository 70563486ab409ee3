#include "kernel_test.h"

namespace lighthouse {
namespace {

/// Token number t of a sequence.
using Pattern = std::function<int64_t(int64_t t)>;

class EmbeddingTest : public KernelTest {
 protected:
  static constexpr int64_t kVocabSize = 5003;

  static Values tokens(int64_t count, const Pattern& pattern) {
    Values result;
    for (int64_t t = 0; t < count; ++t) result.push_back(static_cast<double>(pattern(t)));
    return result;
  }
  static int64_t scattered(int64_t t) { return t * 7919 % kVocabSize; }  // distinct for kVocabSize tokens

  /// shape is that of dout.
  void expect_backward_close(const Shape& shape, const Pattern& pattern) {
    Comparison c = compare(shape);
    const Operand dweight = c.updated(DType::kFloat32, {kVocabSize, shape[1]});
    const Operand scratch =
        c.scratch([&](const Backend& b) { return b.embedding_backward_scratch(shape[0], shape[1]); });
    const Operand dout = c.input(type(), shape);
    const Operand ids = c.input(DType::kInt32, {shape[0]}, tokens(shape[0], pattern));
    c.run([&](const Side& on) { on->embedding_backward(on.stream, on(dweight), on(scratch), on(dout), on(ids)); });
    c.expect_close();
  }
};

TEST_P(EmbeddingTest, ForwardCopiesRows) {
  for (const Shape& shape : kRowShapes) {
    Comparison c = compare(shape);
    const Operand out = c.output(type(), shape), weight = c.input(type(), {129, shape[1]});
    const Operand ids =
        c.input(DType::kInt32, {shape[0]}, tokens(shape[0], [](int64_t t) { return (128 + 37 * t) % 129; }));
    c.run([&](const Side& on) { on->embedding_forward(on.stream, on(out), on(weight), on(ids)); });
    EXPECT_EQ(c.gpu(out), c.cpu(out));
  }
}

TEST_P(EmbeddingTest, BackwardOfDistinctTokens) {
  for (const Shape& shape : {Shape{1, 8}, Shape{7, 53}, Shape{65, 1032}, Shape{5000, 72}}) {
    expect_backward_close(shape, scattered);
  }
}

// A chunk that ends inside the token's run, at its end, and just after it.
TEST_P(EmbeddingTest, BackwardOfOneTokenAllOver) {
  for (const int64_t count : {1, 63, 64, 65, 127, 128, 129, 5000}) {
    expect_backward_close({count, 53}, [](int64_t) { return kVocabSize - 1; });
    expect_backward_close({count, 72}, [](int64_t) { return 0; });
  }
}

// Runs of every length lie across the borders of chunks in every way.
TEST_P(EmbeddingTest, BackwardOfFewTokens) {
  for (const Shape& shape : {Shape{65, 64}, Shape{129, 1024}, Shape{1025, 53}, Shape{5000, 64}}) {
    expect_backward_close(shape, [](int64_t t) { return scattered(t * t % 61 % 40); });
  }
}

TEST_P(EmbeddingTest, BackwardWhereAFifthIsOneToken) {
  for (const Shape& shape : {Shape{129, 1024}, Shape{1025, 53}, Shape{5000, 96}}) {
    expect_backward_close(shape, [](int64_t t) { return t % 5 == 0 ? 17 : scattered(t); });
  }
}

INSTANTIATE_TEST_SUITE_P(Types, EmbeddingTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
