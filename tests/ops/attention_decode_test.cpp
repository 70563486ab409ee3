#include <numeric>
#include <stdexcept>

#include "op_test.h"

namespace lighthouse {
namespace {

struct DecodeSizes {
  int64_t context, length, heads, kv_heads, head_dim;
  int64_t window = 0;
};

/// Token after token against caches, compared with attention over the whole sequence.
class AttentionDecodeTest : public OpTest, public testing::WithParamInterface<DecodeSizes> {};

TEST_P(AttentionDecodeTest, EqualsAttentionOverTheWholeSequence) {
  const auto [context, length, heads, kv_heads, head_dim, window] = GetParam();
  const int64_t rows = heads + 2 * kv_heads;
  const Floats fused = random_floats({1, length, rows, head_dim}, 1);
  Floats cos({context, head_dim / 2}), sin({context, head_dim / 2});
  backend_->rope_table(stream_, cos, sin, 100);

  Floats rotated({1, length, rows, head_dim}), whole({1, length, heads, head_dim}), lse({1, heads, length});
  backend_->copy(stream_, rotated, fused);
  backend_->rope_forward(stream_, rotated.tensor.slice(2, 0, heads + kv_heads), cos.tensor.slice(0, 0, length),
                         sin.tensor.slice(0, 0, length));
  const auto more = scratch_of(backend_->attention_forward_scratch(whole.tensor.shape(), kv_heads, false, 0));
  const Tensor k = rotated.tensor.slice(2, heads, heads + kv_heads);
  const Tensor v = rotated.tensor.slice(2, heads + kv_heads, rows);
  backend_->attention_forward(stream_, whole, lse, more, rotated.tensor.slice(2, 0, heads), k, v, {window, {}});

  // The first tokens are a prompt, the rest come one by one. Later rows of the caches stay poisoned, and rows before
  // the window become poisoned.
  const int64_t prompt = length / 2;
  Floats k_cache({context, kv_heads, head_dim}), v_cache({context, kv_heads, head_dim});
  backend_->cache_rows(stream_, k_cache, k.select(0, 0).slice(0, 0, prompt));
  backend_->cache_rows(stream_, v_cache, v.select(0, 0).slice(0, 0, prompt));
  const auto scratch = scratch_of(backend_->attention_decode_scratch(k_cache.tensor.shape(), heads));
  Floats out({heads, head_dim});
  Ints position({1});
  for (int64_t at = prompt; at < length; ++at) {
    position[0] = static_cast<int32_t>(at);
    const Tensor token = fused.tensor.select(0, 0).select(0, at);
    if (window > 0 && at >= window) {
      backend_->fill(stream_, k_cache.tensor.slice(0, at - window, at - window + 1), Floats::poison());
      backend_->fill(stream_, v_cache.tensor.slice(0, at - window, at - window + 1), Floats::poison());
    }
    backend_->attention_decode(stream_, out, k_cache, v_cache, scratch, token, cos, sin, position, window);
    EXPECT_TRUE(close(out, values_of(whole.tensor.select(0, 0).select(0, at)), 1e-5)) << "token " << at;
  }
  const int64_t first = window > 0 ? std::max<int64_t>(0, length - window) : 0;
  EXPECT_TRUE(close(k_cache.tensor.slice(0, first, length), values_of(k.slice(1, first, length)), 1e-6));
  EXPECT_TRUE(close(v_cache.tensor.slice(0, first, length), values_of(v.slice(1, first, length)), 0));
}

INSTANTIATE_TEST_SUITE_P(Sizes, AttentionDecodeTest,
                         testing::Values(DecodeSizes{8, 8, 1, 1, 8}, DecodeSizes{100, 70, 4, 2, 16},
                                         DecodeSizes{64, 33, 6, 1, 24}, DecodeSizes{300, 300, 2, 2, 64},
                                         DecodeSizes{8, 8, 1, 1, 8, 1}, DecodeSizes{100, 70, 4, 2, 16, 2},
                                         DecodeSizes{64, 33, 6, 1, 24, 20}, DecodeSizes{64, 33, 6, 1, 24, 33},
                                         DecodeSizes{300, 300, 2, 2, 64, 100}, DecodeSizes{300, 300, 2, 2, 64, 500}));

using AttentionDecodeDetailTest = OpTest;

TEST_F(AttentionDecodeDetailTest, RefusesWhatDoesNotFit) {
  const Floats qkv = random_floats({8, 8}, 1), cos = random_floats({10, 4}, 2);
  Floats k_cache({10, 2, 8}), v_cache({10, 2, 8}), out({4, 8}), three({3, 8});
  Ints position({1});
  const auto scratch = scratch_of(backend_->attention_decode_scratch({10, 2, 8}, 4));
  const auto decode = [&](const Tensor& to, int32_t at) {
    position[0] = at;
    backend_->attention_decode(stream_, to, k_cache, v_cache, scratch, qkv, cos, cos, position);
  };
  EXPECT_THROW(decode(out, 10), std::logic_error);
  EXPECT_THROW(decode(out, -1), std::logic_error);
  EXPECT_THROW(decode(three, 0), std::logic_error) << "three heads do not share two";
  EXPECT_THROW(backend_->cache_rows(stream_, k_cache, random_floats({11, 2, 8}, 1)), std::logic_error);
  decode(out, 0);  // and this does
  EXPECT_THROW(backend_->attention_decode(stream_, out, k_cache, v_cache, scratch, qkv, cos, cos, position, -1),
               std::logic_error);
}

}  // namespace
}  // namespace lighthouse
