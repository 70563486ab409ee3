#include "kernel_test.h"

namespace lighthouse {
namespace {

constexpr int32_t kEnd = 256;

class DocumentsTest : public KernelTest {};

/// Tokens of which some, one in `every`, end a document.
Values tokens_with_ends(int64_t count, int64_t every) {
  Values tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<double>(i * 7919 % every == 0 ? kEnd : i % 250));
  return tokens;
}

// Lengths around the 1024 positions that a block takes at a time.
TEST_P(DocumentsTest, StartsAndAttentionInFloat32) {
  if (type() != DType::kFloat32) GTEST_SKIP() << "documents are for float32";
  for (const int64_t length : {int64_t{33}, int64_t{1024}, int64_t{1025}, int64_t{2100}}) {
    const int64_t heads = 4, kv_heads = 2, d = 32;
    const Shape q_shape{2, length, heads, d}, kv_shape{2, length, kv_heads, d};
    Comparison c = compare(q_shape);
    const Operand tokens = c.input(DType::kInt32, {2, length}, tokens_with_ends(2 * length, 97));
    const Operand starts = c.output(DType::kInt32, {2, length});
    const Operand q = c.input(type(), q_shape), k = c.input(type(), kv_shape), v = c.input(type(), kv_shape);
    const Operand dout = c.input(type(), q_shape), out = c.output(type(), q_shape);
    const Operand lse = c.output(DType::kFloat32, {2, heads, length});
    const Operand dq = c.output(type(), q_shape), dk = c.output(type(), kv_shape), dv = c.output(type(), kv_shape);
    const Operand forward = c.scratch([&](const Backend& b) { return b.attention_forward_scratch(q_shape, kv_heads); });
    const Operand backward =
        c.scratch([&](const Backend& b) { return b.attention_backward_scratch(q_shape, kv_heads); });
    c.run([&](const Side& on) {
      on->document_starts(on.stream, on(starts), on(tokens), kEnd);
      on->attention_forward(on.stream, on(out), on(lse), on(forward), on(q), on(k), on(v), on(starts));
      on->attention_backward(on.stream, on(dq), on(dk), on(dv), on(backward), on(dout), on(out), on(lse), on(q), on(k),
                             on(v), on(starts));
    });
    c.expect_close();
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DocumentsTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
