#include "kernel_test.h"

namespace lighthouse {
namespace {

struct AttentionSizes {
  int64_t batch, length, heads, kv_heads, head_dim;
  int64_t window = 0;

  Shape q() const { return {batch, length, heads, head_dim}; }
  Shape fused() const { return {batch, length, heads + 2 * kv_heads, head_dim}; }
};

/// The heads [begin, end) of a fused tensor.
struct Heads {
  int64_t begin, end;

  Tensor of(const Tensor& fused) const { return fused.slice(2, begin, end); }
  Values of(const Values& fused, const Shape& shape) const {
    Values result;
    for (int64_t token = 0; token < shape[0] * shape[1]; ++token) {
      const auto first = fused.begin() + token * shape[2] * shape[3];
      result.insert(result.end(), first + begin * shape[3], first + end * shape[3]);
    }
    return result;
  }
};

class AttentionTest : public KernelTest {
 protected:
  using Bits = Comparison::Bits;

  void expect_close(const AttentionSizes& s, Bits backward_bits) {
    Comparison c = compare(s.window > 0 ? Shape{s.length, s.heads, s.kv_heads, s.head_dim, s.window}
                                        : Shape{s.batch, s.length, s.heads, s.kv_heads, s.head_dim});
    const Heads q{0, s.heads}, k{q.end, q.end + s.kv_heads}, v{k.end, k.end + s.kv_heads};
    const Operand qkv = c.input(type(), s.fused()), dout = c.input(type(), s.q());
    const Operand out = c.output(type(), s.q()), lse = c.output(DType::kFloat32, {s.batch, s.heads, s.length});
    const Operand dqkv = c.output(type(), s.fused(), backward_bits);
    const Operand forward_scratch =
        c.scratch([&](const Backend& b) { return b.attention_forward_scratch(s.q(), s.kv_heads, false, s.window); });
    const Operand backward_scratch =
        c.scratch([&](const Backend& b) { return b.attention_backward_scratch(s.q(), s.kv_heads, false, s.window); });
    const AttentionMask mask{s.window, {}};
    c.run([&](const Side& on) {
      const Tensor x = on(qkv), dx = on(dqkv);
      on->attention_forward(on.stream, on(out), on(lse), on(forward_scratch), q.of(x), k.of(x), v.of(x), mask);
      on->attention_backward(on.stream, q.of(dx), k.of(dx), v.of(dx), on(backward_scratch), on(dout), on(out), on(lse),
                             q.of(x), k.of(x), v.of(x), mask);
    });
    c.expect_close();
    if (s.length == 1 || s.window == 1) return;  // dq and dk of queries that see one key are zero except for rounding
    const Values actual = c.gpu(dqkv), expected = c.cpu(dqkv);
    for (const Heads& heads : {q, k, v}) {
      EXPECT_TRUE(close(heads.of(actual, s.fused()), heads.of(expected, s.fused()), s.head_dim, tolerance_of(type())))
          << "the gradient of heads from " << heads.begin;
    }
  }
};

// Each length, head size and grouping once or more, lengths around the tiles' 64 and 128.
TEST_P(AttentionTest, ForwardAndBackwardOnAFusedTensor) {
  std::vector<AttentionSizes> sizes = {{1, 7, 1, 1, 64},     {2, 7, 4, 2, 32},   {1, 64, 8, 8, 64},
                                       {2, 65, 6, 1, 128},   {1, 128, 4, 2, 64}, {2, 128, 1, 1, 128},
                                       {1, 129, 4, 2, 128},  {2, 257, 4, 2, 64}, {1, 600, 6, 1, 64},
                                       {2, 1031, 4, 2, 128}, {1, 1031, 8, 8, 32}};
  if (type() == DType::kFloat32) sizes.insert(sizes.end(), {{2, 7, 4, 2, 8}, {1, 1, 1, 1, 8}, {1, 257, 6, 1, 8}});
  for (const AttentionSizes& s : sizes) expect_close(s, Bits::kMayVary);
}

TEST_P(AttentionTest, DeterministicBackward) {
  start({.dtype = type(), .deterministic = true});
  for (const AttentionSizes& s :
       {AttentionSizes{1, 7, 1, 1, 64}, AttentionSizes{2, 65, 4, 2, 32}, AttentionSizes{1, 129, 6, 1, 128},
        AttentionSizes{2, 257, 8, 8, 64}, AttentionSizes{1, 1031, 4, 2, 64}}) {
    expect_close(s, Bits::kRepeat);
  }
}

// The deterministic workspace of each case would exceed the allowed 1 MiB.
TEST_P(AttentionTest, DeterministicBackwardInChunksOfQueries) {
  start({.dtype = type(), .deterministic = true, .attention_workspace = int64_t{1} << 20});
  for (const AttentionSizes& s :
       {AttentionSizes{2, 257, 4, 2, 64}, AttentionSizes{1, 600, 6, 1, 64}, AttentionSizes{1, 768, 4, 2, 128},
        AttentionSizes{1, 1031, 1, 1, 128}, AttentionSizes{2, 1031, 1, 1, 32}}) {
    expect_close(s, Bits::kRepeat);
  }
}

// Widths of one key, below, at and above tiles of 64 and 128, no multiples of them, and up to all keys and beyond.
const std::vector<AttentionSizes> kWindows = {
    {1, 300, 2, 2, 64, 2},    {2, 257, 4, 2, 64, 31},    {1, 600, 6, 1, 128, 64},   {2, 515, 4, 2, 128, 100},
    {1, 1031, 4, 2, 64, 128}, {1, 1031, 8, 8, 32, 129},  {1, 2048, 2, 1, 128, 256}, {2, 700, 4, 2, 64, 699},
    {1, 700, 2, 2, 128, 700}, {1, 129, 4, 2, 128, 5000}, {1, 3000, 2, 1, 64, 1024}, {1, 300, 1, 1, 64, 1}};

TEST_P(AttentionTest, InAWindow) {
  for (const AttentionSizes& s : kWindows) expect_close(s, Bits::kMayVary);
}

TEST_P(AttentionTest, DeterministicInAWindow) {
  start({.dtype = type(), .deterministic = true});
  for (const AttentionSizes& s : kWindows) expect_close(s, Bits::kRepeat);
}

// 5,000 queries are two chunks; with 1 MiB of workspace there are many.
TEST_P(AttentionTest, DeterministicInAWindowInChunksOfQueries) {
  for (const int64_t workspace : {int64_t{1} << 33, int64_t{1} << 20}) {
    start({.dtype = type(), .deterministic = true, .attention_workspace = workspace});
    expect_close({1, 5000, 2, 1, 64, 100}, Bits::kRepeat);
    expect_close({2, 5000, 1, 1, 128, 37}, Bits::kRepeat);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, AttentionTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
