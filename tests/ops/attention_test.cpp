#include <stdexcept>

#include "attention_reference.h"
#include "op_test.h"

namespace lighthouse {
namespace {

class AttentionTest : public OpTest, public testing::WithParamInterface<AttentionSizes> {
 protected:
  struct Qkv {
    Tensor q, k, v;
  };
  static Qkv parts(const Tensor& fused, const AttentionSizes& s) {
    return {fused.slice(2, 0, s.heads), fused.slice(2, s.heads, s.heads + s.kv_heads),
            fused.slice(2, s.heads + s.kv_heads, s.heads + 2 * s.kv_heads)};
  }
};

TEST_P(AttentionTest, ForwardAndBackwardOnAFusedTensor) {
  const AttentionSizes s = GetParam();
  const Shape fused{s.batch, s.length, s.heads + 2 * s.kv_heads, s.head_dim};
  const Shape shape{s.batch, s.length, s.heads, s.head_dim};
  const Floats qkv = random_floats(fused, 1, 1.5f), dout = random_floats(shape, 2);
  const auto [q, k, v] = parts(qkv, s);
  const AttentionReference expected = reference_attention(s, values_of(q), values_of(k), values_of(v), values_of(dout));

  Floats out(shape), lse({s.batch, s.heads, s.length}), dqkv(fused);
  const auto scratch = scratch_of(backend_->attention_forward_scratch(shape, s.kv_heads, false, 0));
  backend_->attention_forward(stream_, out, lse, scratch, q, k, v);
  EXPECT_TRUE(close(out, expected.out, 1e-5));
  EXPECT_TRUE(close(lse, expected.lse, 1e-5));

  const auto [dq, dk, dv] = parts(dqkv, s);
  const auto more = scratch_of(backend_->attention_backward_scratch(shape, s.kv_heads, false, 0));
  backend_->attention_backward(stream_, dq, dk, dv, more, dout, out, lse, q, k, v);
  EXPECT_TRUE(close(dq, expected.dq, 3e-5));
  EXPECT_TRUE(close(dk, expected.dk, 3e-5));
  EXPECT_TRUE(close(dv, expected.dv, 3e-5));
}

// Lengths around the block sizes 256 and 512, groups, odd head sizes.
INSTANTIATE_TEST_SUITE_P(Sizes, AttentionTest,
                         testing::Values(AttentionSizes{1, 1, 1, 1, 8}, AttentionSizes{2, 7, 4, 2, 8},
                                         AttentionSizes{1, 256, 2, 1, 16}, AttentionSizes{1, 257, 1, 1, 64},
                                         AttentionSizes{1, 513, 3, 1, 24}, AttentionSizes{2, 600, 2, 2, 8},
                                         AttentionSizes{1, 1031, 2, 1, 8}));

class AttentionDetailTest : public OpTest {};

// The reference gradients against finite differences of the reference forward.
TEST_F(AttentionDetailTest, ReferenceGradientsAreNumericalGradients) {
  const AttentionSizes s{1, 6, 4, 2, 8};
  const auto q = values_of(random_floats({1, 6, 4, 8}, 1)), k = values_of(random_floats({1, 6, 2, 8}, 2));
  const auto v = values_of(random_floats({1, 6, 2, 8}, 3)), dout = values_of(random_floats({1, 6, 4, 8}, 4));
  const AttentionReference r = reference_attention(s, q, k, v, dout);
  const auto loss = [&](const auto& at_q, const auto& at_k, const auto& at_v) {
    return dot(reference_attention(s, at_q, at_k, at_v, {}).out, dout);
  };
  EXPECT_TRUE(close(r.dq, numerical_gradient([&](const auto& x) { return loss(x, k, v); }, q), 1e-7));
  EXPECT_TRUE(close(r.dk, numerical_gradient([&](const auto& x) { return loss(q, x, v); }, k), 1e-7));
  EXPECT_TRUE(close(r.dv, numerical_gradient([&](const auto& x) { return loss(q, k, x); }, v), 1e-7));
}

// Scores of some hundreds: a softmax overflows unless it subtracts the largest score.
TEST_F(AttentionDetailTest, LargeScoresStayFinite) {
  const AttentionSizes s{1, 300, 1, 1, 8};
  const Shape shape{1, 300, 1, 8};
  const Floats q = random_floats(shape, 1, 15.0f), k = random_floats(shape, 2, 15.0f), v = random_floats(shape, 3);
  Floats out(shape), lse({1, 1, 300});
  const auto scratch = scratch_of(backend_->attention_forward_scratch(shape, 1, false, 0));
  backend_->attention_forward(stream_, out, lse, scratch, q, k, v);
  const AttentionReference expected = reference_attention(s, values_of(q), values_of(k), values_of(v), {});
  EXPECT_TRUE(close(out, expected.out, 5e-4));
  EXPECT_TRUE(close(lse, expected.lse, 1e-5));
}

TEST_F(AttentionDetailTest, ScratchGrowsNoFasterThanTheSequence) {
  const int64_t shorter = backend_->attention_backward_scratch({1, 100000, 4, 64}, 4, false, 0);
  const int64_t longer = backend_->attention_backward_scratch({1, 200000, 4, 64}, 4, false, 0);
  EXPECT_LE(longer - shorter, 100000 * 4 * 4 + 64);
  EXPECT_EQ(backend_->attention_forward_scratch({1, 100000, 4, 64}, 4, false, 0),
            backend_->attention_forward_scratch({1, 200000, 4, 64}, 4, false, 0));
}

TEST_F(AttentionDetailTest, RefusesShapesThatDoNotFit) {
  const Floats q = random_floats({1, 8, 4, 8}, 1), k = random_floats({1, 8, 3, 8}, 2);
  Floats out({1, 8, 4, 8}), lse({1, 4, 8});
  const auto scratch = scratch_of(backend_->attention_forward_scratch({1, 8, 4, 8}, 3, false, 0));
  try {
    backend_->attention_forward(stream_, out, lse, scratch, q, k, k);
    FAIL() << "4 query heads cannot share 3 key heads";
  } catch (const std::logic_error& error) {
    EXPECT_NE(std::string(error.what()).find("attention_forward"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("[1, 8, 3, 8]"), std::string::npos);
  }
}

}  // namespace
}  // namespace lighthouse
