// Attention in a local window: against its definition, and against dense attention if the window hides no key.
#include <numeric>
#include <utility>

#include "attention_reference.h"
#include "op_test.h"

namespace lighthouse {
namespace {

/// One layer's q, k, v in a fused tensor, and the results of forward and backward.
struct Layer {
  explicit Layer(const AttentionSizes& s, uint32_t seed = 1)
      : sizes(s),
        shape{s.batch, s.length, s.heads, s.head_dim},
        fused{s.batch, s.length, s.heads + 2 * s.kv_heads, s.head_dim},
        qkv(random_floats(fused, seed, 1.5f)),
        dout(random_floats(shape, seed + 1)),
        out(shape),
        lse({s.batch, s.heads, s.length}),
        dqkv(fused) {}

  Tensor q(const Tensor& of) const { return of.slice(2, 0, sizes.heads); }
  Tensor k(const Tensor& of) const { return of.slice(2, sizes.heads, sizes.heads + sizes.kv_heads); }
  Tensor v(const Tensor& of) const { return of.slice(2, sizes.heads + sizes.kv_heads, fused[2]); }

  void run(Backend& backend, const AttentionMask& mask) {
    const Stream stream;
    const bool documents = mask.documents.starts.defined();
    for (Floats* made : {&out, &lse, &dqkv}) std::fill(made->values.begin(), made->values.end(), Floats::poison());
    const auto scratch = scratch_of(backend.attention_forward_scratch(shape, sizes.kv_heads, documents, mask.window));
    backend.attention_forward(stream, out, lse, scratch, q(qkv), k(qkv), v(qkv), mask);
    const auto more = scratch_of(backend.attention_backward_scratch(shape, sizes.kv_heads, documents, mask.window));
    backend.attention_backward(stream, q(dqkv), k(dqkv), v(dqkv), more, dout, out, lse, q(qkv), k(qkv), v(qkv), mask);
  }

  AttentionSizes sizes;
  Shape shape, fused;
  Floats qkv, dout, out, lse, dqkv;
};

class WindowAttentionTest : public OpTest {
 protected:
  /// `starts`, if not empty, holds where the document of each token of the batch starts.
  void expect_reference(Layer& layer, int64_t window, std::vector<int32_t> starts = {}) {
    const AttentionSizes& s = layer.sizes;
    AttentionMask mask{window, {}};
    if (!starts.empty()) mask.documents.starts = {starts.data(), {s.batch, s.length}, DType::kInt32};
    layer.run(*backend_, mask);
    const auto start_of = [&](int64_t b, int64_t i) -> int64_t {
      return starts.empty() ? 0 : starts[static_cast<size_t>(b * s.length + i)];
    };
    const AttentionReference expected =
        reference_attention(s, values_of(layer.q(layer.qkv)), values_of(layer.k(layer.qkv)),
                            values_of(layer.v(layer.qkv)), values_of(layer.dout), window, start_of);
    EXPECT_TRUE(close(layer.out, expected.out, 1e-5));
    EXPECT_TRUE(close(layer.lse, expected.lse, 1e-5));
    EXPECT_TRUE(close(layer.q(layer.dqkv), expected.dq, 3e-5));
    EXPECT_TRUE(close(layer.k(layer.dqkv), expected.dk, 3e-5));
    EXPECT_TRUE(close(layer.v(layer.dqkv), expected.dv, 3e-5));
  }
};

class WindowAttentionSizesTest : public WindowAttentionTest, public testing::WithParamInterface<AttentionSizes> {};

TEST_P(WindowAttentionSizesTest, ForwardAndBackwardAtEveryWidth) {
  const int64_t n = GetParam().length;
  for (const int64_t window : {int64_t{1}, int64_t{2}, int64_t{31}, int64_t{37}, int64_t{64}, int64_t{100},
                               int64_t{256}, int64_t{300}, n - 1, n, n + 1, 10 * n}) {
    if (window < 1) continue;
    SCOPED_TRACE(testing::Message() << "window " << window);
    Layer layer(GetParam());
    expect_reference(layer, window);
  }
}

// Lengths that are no multiple of any tile, between and beyond the widths; grouped heads; two sequences.
INSTANTIATE_TEST_SUITE_P(Sizes, WindowAttentionSizesTest,
                         testing::Values(AttentionSizes{1, 1, 1, 1, 8}, AttentionSizes{2, 7, 4, 2, 8},
                                         AttentionSizes{2, 97, 4, 2, 16}, AttentionSizes{1, 256, 2, 1, 16},
                                         AttentionSizes{1, 257, 1, 1, 64}, AttentionSizes{1, 513, 3, 1, 24},
                                         AttentionSizes{2, 601, 2, 2, 8}, AttentionSizes{1, 1031, 2, 1, 8}));

// The bound is exact: the query's own key and the `window` - 1 before it, no key more and no key less.
TEST_F(WindowAttentionTest, AKeyReachesAsManyQueriesAsTheWindowIsWide) {
  const AttentionSizes s{1, 150, 1, 1, 8};
  for (const int64_t window : {1, 2, 33, 100}) {
    Layer layer(s);
    layer.run(*backend_, {window, {}});
    const std::vector<float> before = layer.out.values;
    for (const int64_t changed : {0, 31, 32, 49, 149}) {
      Layer other(s);
      for (int64_t d = 0; d < 8; ++d) other.v(other.qkv).select(1, changed).data<float>()[d] += 1;
      other.run(*backend_, {window, {}});
      for (int64_t i = 0; i < s.length; ++i) {
        const auto row = static_cast<size_t>(i * 8);
        const bool same = std::equal(before.begin() + i * 8, before.begin() + (i + 1) * 8, &other.out.values[row]);
        EXPECT_EQ(!same, i >= changed && i < changed + window)
            << "window " << window << ", key " << changed << ", query " << i;
      }
    }
  }
}

TEST_F(WindowAttentionTest, OneThatHidesNothingHasTheBitsOfDense) {
  for (const AttentionSizes& s : {AttentionSizes{2, 90, 4, 2, 8}, AttentionSizes{1, 700, 2, 1, 16}}) {
    Layer dense(s), window(s);
    dense.run(*backend_, {});
    for (const int64_t width : {s.length, s.length + 1, int64_t{1} << 40}) {
      window.run(*backend_, {width, {}});
      EXPECT_EQ(window.out.values, dense.out.values) << width;
      EXPECT_EQ(window.lse.values, dense.lse.values) << width;
      EXPECT_EQ(window.dqkv.values, dense.dqkv.values) << width;
    }
  }
}

/// Starts of documents of the given lengths, which fill a sequence.
std::vector<int32_t> starts_of(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> starts;
  for (const int32_t length : lengths) {
    starts.insert(starts.end(), static_cast<size_t>(length), static_cast<int32_t>(starts.size()));
  }
  return starts;
}

TEST_F(WindowAttentionTest, StaysInsideDocuments) {
  std::vector<int32_t> starts = starts_of({3, 253, 256, 1, 300, 90});
  const std::vector<int32_t> second = starts_of({1, 1, 40, 861});
  ASSERT_EQ(starts.size(), second.size());
  starts.insert(starts.end(), second.begin(), second.end());
  for (const int64_t window : {1, 2, 37, 100, 256, 300, 860, 903, 5000}) {
    SCOPED_TRACE(testing::Message() << "window " << window);
    Layer layer({2, 903, 2, 1, 8});
    expect_reference(layer, window, starts);
  }
}

TEST_F(WindowAttentionTest, OneThatHidesNothingHasTheBitsOfDocumentsAlone) {
  std::vector<int32_t> starts = starts_of({100, 257, 143});
  const Documents documents{{starts.data(), {1, 500}, DType::kInt32}, {}};
  Layer alone({1, 500, 2, 1, 8}), window({1, 500, 2, 1, 8});
  alone.run(*backend_, {0, documents});
  window.run(*backend_, {500, documents});
  EXPECT_EQ(window.out.values, alone.out.values);
  EXPECT_EQ(window.dqkv.values, alone.dqkv.values);
}

// Scores of some hundreds, also at the edge of the window: a key outside it must not set the peak.
TEST_F(WindowAttentionTest, LargeScoresStayFinite) {
  const AttentionSizes s{1, 300, 1, 1, 8};
  const Shape shape{1, 300, 1, 8};
  const Floats q = random_floats(shape, 1, 15.0f), k = random_floats(shape, 2, 15.0f), v = random_floats(shape, 3);
  Floats out(shape), lse({1, 1, 300});
  const auto scratch = scratch_of(backend_->attention_forward_scratch(shape, 1, false, 20));
  backend_->attention_forward(stream_, out, lse, scratch, q, k, v, {20, {}});
  const AttentionReference expected = reference_attention(s, values_of(q), values_of(k), values_of(v), {}, 20);
  EXPECT_TRUE(close(out, expected.out, 5e-4));
  EXPECT_TRUE(close(lse, expected.lse, 1e-5));
}

TEST_F(WindowAttentionTest, ReferenceGradientsAreNumericalGradients) {
  const AttentionSizes s{1, 7, 2, 1, 8};
  const auto q = values_of(random_floats({1, 7, 2, 8}, 1)), k = values_of(random_floats({1, 7, 1, 8}, 2));
  const auto v = values_of(random_floats({1, 7, 1, 8}, 3)), dout = values_of(random_floats({1, 7, 2, 8}, 4));
  const auto start_of = [](int64_t, int64_t i) { return i < 5 ? int64_t{0} : int64_t{5}; };
  const AttentionReference r = reference_attention(s, q, k, v, dout, 3, start_of);
  const auto loss = [&](const auto& at_q, const auto& at_k, const auto& at_v) {
    return dot(reference_attention(s, at_q, at_k, at_v, {}, 3, start_of).out, dout);
  };
  EXPECT_TRUE(close(r.dq, numerical_gradient([&](const auto& x) { return loss(x, k, v); }, q), 1e-7));
  EXPECT_TRUE(close(r.dk, numerical_gradient([&](const auto& x) { return loss(q, x, v); }, k), 1e-7));
  EXPECT_TRUE(close(r.dv, numerical_gradient([&](const auto& x) { return loss(q, k, x); }, v), 1e-7));
}

TEST_F(WindowAttentionTest, RefusesANegativeWidth) {
  Layer layer({1, 8, 1, 1, 8});
  EXPECT_THROW(layer.run(*backend_, {-1, {}}), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
