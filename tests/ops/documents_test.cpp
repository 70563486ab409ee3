// Attention inside documents: each document's result must be that of the document alone.
#include <algorithm>
#include <stdexcept>

#include "op_test.h"

namespace lighthouse {
namespace {

constexpr int32_t kEnd = 256;

class DocumentsTest : public OpTest {
 protected:
  /// Starts of documents of the given lengths, which fill a sequence.
  static std::vector<int32_t> starts_of(const std::vector<int64_t>& lengths) {
    std::vector<int32_t> starts;
    for (const int64_t length : lengths) {
      starts.insert(starts.end(), static_cast<size_t>(length), static_cast<int32_t>(starts.size()));
    }
    return starts;
  }
};

TEST_F(DocumentsTest, BeginAfterEachEndOfText) {
  std::vector<int32_t> tokens{1, kEnd, 2, 3, kEnd, kEnd, 4, /**/ kEnd, 5, 6, 7, 8, kEnd, 9};
  std::vector<int32_t> starts(tokens.size(), -1), bounds(tokens.size() + 2, -1);
  const Documents documents{{starts.data(), {2, 7}, DType::kInt32}, {bounds.data(), {16}, DType::kInt32}};
  EXPECT_EQ(backend_->find_documents(stream_, documents, {tokens.data(), {2, 7}, DType::kInt32}, kEnd), 7);
  EXPECT_EQ(starts, (std::vector<int32_t>{0, 0, 2, 2, 2, 5, 6, /**/ 0, 1, 1, 1, 1, 1, 6}));
  EXPECT_EQ(bounds, (std::vector<int32_t>{0, 2, 5, 6, 7, 8, 13, /**/ 14, 14, 14, 14, 14, 14, 14, 14, /**/ 7}));
}

// Lengths below, at and above the tiles of 256 queries and 512 keys.
TEST_F(DocumentsTest, AttendAsIfEachWereAlone) {
  const std::vector<int64_t> lengths{3, 253, 256, 1, 700, 520, 40};
  int64_t n = 0;
  for (const int64_t length : lengths) n += length;
  const int64_t heads = 2, kv_heads = 1, d = 8;
  const Shape q_shape{1, n, heads, d}, kv_shape{1, n, kv_heads, d};
  const Floats q = random_floats(q_shape, 1), k = random_floats(kv_shape, 2), v = random_floats(kv_shape, 3);
  const Floats dout = random_floats(q_shape, 4);
  std::vector<int32_t> starts = starts_of(lengths);
  const Documents documents{{starts.data(), {1, n}, DType::kInt32}, {}};
  const auto scratch = scratch_of(std::max(backend_->attention_forward_scratch(q_shape, kv_heads, false, 0),
                                           backend_->attention_backward_scratch(q_shape, kv_heads, true, 0)));
  Floats out(q_shape), lse({1, heads, n}), dq(q_shape), dk(kv_shape), dv(kv_shape);
  backend_->attention_forward(stream_, out, lse, scratch, q, k, v, {0, documents});
  backend_->attention_backward(stream_, dq, dk, dv, scratch, dout, out, lse, q, k, v, {0, documents});

  for (int64_t begin = 0; const int64_t length : lengths) {
    const auto alone = [&](const Tensor& x) { return x.slice(1, begin, begin + length); };
    const Shape q_alone{1, length, heads, d}, kv_alone{1, length, kv_heads, d};
    Floats out1(q_alone), lse1({1, heads, length}), dq1(q_alone), dk1(kv_alone), dv1(kv_alone);
    backend_->attention_forward(stream_, out1, lse1, scratch, alone(q), alone(k), alone(v));
    backend_->attention_backward(stream_, dq1, dk1, dv1, scratch, alone(dout), out1, lse1, alone(q), alone(k),
                                 alone(v));
    EXPECT_TRUE(close(alone(out), values_of(out1), 1e-6)) << begin;
    EXPECT_TRUE(close(alone(dk), values_of(dk1), 1e-5)) << begin;
    EXPECT_TRUE(close(alone(dv), values_of(dv1), 1e-5)) << begin;
    // The gradient of the queries of a one-token document is zero except for rounding.
    if (length > 1) {
      EXPECT_TRUE(close(alone(dq), values_of(dq1), 1e-5)) << begin;
    }
    begin += length;
  }
}

TEST_F(DocumentsTest, OneDocumentIsAllOfIt) {
  const Shape shape{2, 300, 2, 8};
  const Floats q = random_floats(shape, 1), k = random_floats(shape, 2), v = random_floats(shape, 3);
  std::vector<int32_t> zeros(600, 0);
  const auto scratch = scratch_of(backend_->attention_forward_scratch(shape, 2, false, 0));
  Floats out(shape), lse({2, 2, 300}), plain(shape), plain_lse({2, 2, 300});
  backend_->attention_forward(stream_, out, lse, scratch, q, k, v, {0, {{zeros.data(), {2, 300}, DType::kInt32}, {}}});
  backend_->attention_forward(stream_, plain, plain_lse, scratch, q, k, v);
  EXPECT_EQ(out.values, plain.values);
}

TEST_F(DocumentsTest, RefusesStartsThatAreNone) {
  const Shape shape{1, 4, 1, 8};
  const Floats x = random_floats(shape, 1);
  Floats out(shape), lse({1, 1, 4});
  const auto scratch = scratch_of(backend_->attention_forward_scratch(shape, 1, false, 0));
  for (std::vector<int32_t> starts :
       {std::vector<int32_t>{0, 2, 2, 2}, std::vector<int32_t>{0, 1, 0, 0}, std::vector<int32_t>{-1, 0, 0, 0}}) {
    EXPECT_THROW(backend_->attention_forward(stream_, out, lse, scratch, x, x, x,
                                             {0, {{starts.data(), {1, 4}, DType::kInt32}, {}}}),
                 std::logic_error);
  }
}

}  // namespace
}  // namespace lighthouse
