#include "kernel_test.h"

namespace lighthouse {
namespace {

constexpr int32_t kEnd = 256;

class DocumentsTest : public KernelTest {
 protected:
  /// Attention within the documents of `tokens` [B, N], forward and backward, of parts of fused tensors.
  void expect_close(int64_t batch, int64_t length, const Values& tokens, int64_t heads, int64_t kv_heads, int64_t d,
                    int64_t window = 0) {
    Comparison c = compare({batch, length, heads, kv_heads, d});
    const Shape q_shape{batch, length, heads, d}, fused{batch, length, heads + 2 * kv_heads, d};
    const Operand ids = c.input(DType::kInt32, {batch, length}, tokens);
    const Operand starts = c.output(DType::kInt32, {batch, length});
    const Operand bounds = c.output(DType::kInt32, {batch * length + 2});
    const Operand qkv = c.input(type(), fused), dout = c.input(type(), q_shape), out = c.output(type(), q_shape);
    const auto bits = type() == DType::kFloat32 ? Comparison::Bits::kRepeat : Comparison::Bits::kMayVary;
    const Operand dqkv = c.output(type(), fused, bits);
    const Operand lse = c.scratch([&](const Backend&) { return 4 * batch * heads * length; });
    const Operand forward =
        c.scratch([&](const Backend& b) { return b.attention_forward_scratch(q_shape, kv_heads, true, window); });
    const Operand backward =
        c.scratch([&](const Backend& b) { return b.attention_backward_scratch(q_shape, kv_heads, true, window); });
    c.run([&](const Side& on) {
      const auto part = [&](Operand whole, int64_t begin, int64_t count) {
        return on(whole).slice(2, begin, begin + count);
      };
      const Tensor sums(on(lse).raw(), {batch, heads, length}, DType::kFloat32, on(lse).device());
      Documents documents{on(starts), on(bounds)};
      documents.count = on->find_documents(on.stream, documents, on(ids), kEnd);
      const Tensor q = part(qkv, 0, heads), k = part(qkv, heads, kv_heads), v = part(qkv, heads + kv_heads, kv_heads);
      on->attention_forward(on.stream, on(out), sums, on(forward), q, k, v, {window, documents});
      on->attention_backward(on.stream, part(dqkv, 0, heads), part(dqkv, heads, kv_heads),
                             part(dqkv, heads + kv_heads, kv_heads), on(backward), on(dout), on(out), sums, q, k, v,
                             {window, documents});
    });
    c.expect_close();
  }
};

/// Tokens of which some, one in `every`, end a document.
Values tokens_with_ends(int64_t count, int64_t every) {
  Values tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<double>(i * 7919 % every == 0 ? kEnd : i % 250));
  return tokens;
}

// Lengths around the 1024 tokens that are processed at a time.
TEST_P(DocumentsTest, AttentionInDocumentsOfSomeHundredTokens) {
  for (const int64_t length : {int64_t{33}, int64_t{1024}, int64_t{1025}, int64_t{2100}}) {
    expect_close(2, length, tokens_with_ends(2 * length, 97), 4, 2, 64);
  }
}

TEST_P(DocumentsTest, AttentionInWindowsWithinDocuments) {
  for (const int64_t window : {2, 40, 97, 128, 500, 5000}) {
    expect_close(2, 1025, tokens_with_ends(2050, 97), 4, 2, 64, window);
    expect_close(1, 3000, tokens_with_ends(3000, 1001), 2, 1, 128, window);
  }
}

TEST_P(DocumentsTest, AttentionOfOneDocumentASequence) {
  expect_close(3, 700, Values(2100, 1), 2, 2, 128);
}

TEST_P(DocumentsTest, AttentionWhereMostDocumentsAreShort) {
  Values tokens(1500, kEnd);
  std::fill(tokens.begin() + 200, tokens.begin() + 900, 5);
  expect_close(1, 1500, tokens, 8, 2, 64);
}

// A grid of thread blocks has at most 65,535 in its second and third dimension.
TEST_P(DocumentsTest, AttentionInVeryManyDocuments) {
  expect_close(1, 70000, Values(70000, kEnd), 2, 1, 64);
}

TEST_P(DocumentsTest, AttentionOfLongSequences) {
  expect_close(1, 9000, tokens_with_ends(9000, 3001), 2, 1, 128);
}

INSTANTIATE_TEST_SUITE_P(Types, DocumentsTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
