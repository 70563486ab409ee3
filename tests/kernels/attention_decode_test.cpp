#include <numeric>

#include "kernel_test.h"

namespace lighthouse {
namespace {

struct DecodeSizes {
  int64_t context, position, heads, kv_heads, head_dim;
  int64_t window = 0;
};

class AttentionDecodeTest : public KernelTest {
 protected:
  void expect_close(const DecodeSizes& s) {
    Comparison c = compare({s.context, s.position, s.heads, s.kv_heads, s.head_dim});
    const Shape cache{s.context, s.kv_heads, s.head_dim}, half{s.context, s.head_dim / 2};
    const Operand qkv = c.input(type(), {s.heads + 2 * s.kv_heads, s.head_dim});
    const Operand keys = c.updated(type(), cache), values = c.updated(type(), cache);
    const Operand out = c.output(type(), {s.heads, s.head_dim});
    const Operand cos = c.output(DType::kFloat32, half), sin = c.output(DType::kFloat32, half);
    const Operand position = c.input(DType::kInt32, {1}, {static_cast<double>(s.position)});
    const Operand scratch = c.scratch([&](const Backend& b) { return b.attention_decode_scratch(cache, s.heads); });
    c.run([&](const Side& on) {
      on->rope_table(on.stream, on(cos), on(sin), 10000);
      on->attention_decode(on.stream, on(out), on(keys), on(values), on(scratch), on(qkv), on(cos), on(sin),
                           on(position), s.window);
    });
    c.expect_close();
    for (const Operand cached : {keys, values}) expect_one_row(c, cached, s);
  }

  /// Only the new token's row was written.
  static void expect_one_row(const Comparison& c, Operand cached, const DecodeSizes& s) {
    const Values after = c.gpu(cached),
                 before = rounded(
                     random_values(s.context * s.kv_heads * s.head_dim, static_cast<uint32_t>(cached.number)), type());
    const auto width = static_cast<size_t>(s.kv_heads * s.head_dim);
    for (size_t i = 0; i < after.size(); ++i) {
      if (i / width == static_cast<size_t>(s.position)) continue;
      ASSERT_EQ(after[i], before[i]) << "row " << i / width;
    }
  }
};

// The first and the last position, lengths around a block's turns and the parts, each head size and grouping.
TEST_P(AttentionDecodeTest, OneTokenAgainstTheCache) {
  for (const DecodeSizes& s :
       {DecodeSizes{1, 0, 1, 1, 64}, DecodeSizes{64, 0, 4, 2, 8}, DecodeSizes{64, 63, 4, 4, 32},
        DecodeSizes{200, 15, 8, 8, 128}, DecodeSizes{200, 16, 8, 2, 64}, DecodeSizes{200, 199, 6, 1, 128},
        DecodeSizes{1500, 1023, 8, 8, 128}, DecodeSizes{1500, 1024, 4, 2, 96}, DecodeSizes{1500, 1499, 2, 1, 256},
        DecodeSizes{5000, 4097, 16, 4, 64}, DecodeSizes{5000, 77, 32, 8, 128}}) {
    expect_close(s);
  }
}

TEST_P(AttentionDecodeTest, OneTokenInAWindow) {
  for (const DecodeSizes& s :
       {DecodeSizes{64, 0, 4, 2, 8, 5}, DecodeSizes{64, 63, 4, 4, 32, 1}, DecodeSizes{200, 199, 6, 1, 128, 17},
        DecodeSizes{1500, 1023, 8, 8, 128, 256}, DecodeSizes{1500, 1499, 2, 1, 256, 1499},
        DecodeSizes{5000, 4097, 16, 4, 64, 1000}, DecodeSizes{5000, 77, 32, 8, 128, 6000}}) {
    expect_close(s);
  }
}

TEST_P(AttentionDecodeTest, RowsOfTheCacheFromAFusedTensor) {
  const Shape fused{1, 37, 8, 16}, cache{40, 2, 16};
  Comparison c = compare(fused);
  const Operand qkv = c.input(type(), fused), keys = c.updated(type(), cache);
  c.run([&](const Side& on) {
    on->cache_rows(on.stream, on(keys), on(qkv).slice(2, 4, 6).select(0, 0).slice(0, 0, 33));
  });
  c.expect_close();
}

INSTANTIATE_TEST_SUITE_P(Types, AttentionDecodeTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
