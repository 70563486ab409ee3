// No token influences earlier outputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "lighthouse/model/attention/lighthouse.h"
#include "tiny_llama.h"

namespace lighthouse {
namespace {

TEST(Causality, OfADenseModel) {
  TinyLlama tiny(tiny_config(), dense_pass(1, 40));
  const std::vector<float> before = tiny.evaluate();
  int32_t* inputs = tiny.inputs.data<int32_t>();
  for (size_t t = 0; t < 40; ++t) {
    const int32_t token = inputs[t];
    inputs[t] = (token + 1) % static_cast<int32_t>(tiny.config.vocab_size);
    const std::vector<float> after = tiny.evaluate();
    inputs[t] = token;
    for (size_t j = 0; j < t; ++j) ASSERT_EQ(after[j], before[j]) << "token " << t << " changed the loss at " << j;
    EXPECT_NE(after[t], before[t]);
  }
}

/// With windows in all layers a token influences the next window - 1 positions for each layer, and no further.
TEST(Causality, WindowsLimitTheReachOfAToken) {
  constexpr int64_t kLength = 60;
  for (const int64_t layers : {1, 2, 3}) {
    for (const int64_t window : {1, 2, 7}) {
      ModelConfig config = tiny_config();
      config.num_hidden_layers = layers;
      PassSettings pass = dense_pass(1, kLength);
      pass.kind = AttentionKind::kWindow;
      pass.attention.window = window;
      TinyLlama tiny(config, pass);
      const std::vector<float> before = tiny.evaluate();
      int32_t* inputs = tiny.inputs.data<int32_t>();
      const int64_t reach = layers * (window - 1);
      for (const int64_t t : {0, 1, 17, 40}) {
        const int32_t token = inputs[t];
        inputs[t] = (token + 1) % static_cast<int32_t>(config.vocab_size);
        const std::vector<float> after = tiny.evaluate();
        inputs[t] = token;
        for (int64_t j = 0; j < kLength; ++j) {
          const bool seen = j >= t && j <= t + reach;
          EXPECT_EQ(after[static_cast<size_t>(j)] != before[static_cast<size_t>(j)], seen)
              << layers << " layers, window " << window << ": token " << t << ", loss at " << j;
        }
      }
    }
  }
}

/// One Lighthouse layer with its memory and a random qkv.
struct Layer {
  Layer(const LighthouseSettings& settings, uint32_t seed)
      : backend(make_cpu_backend()), attention(settings, shape, rope, *backend, settings.window) {
    Arena measuring;
    lay_out(measuring);
    arena = Arena(measuring.used());
    lay_out(arena);
    backend->rope_table(stream, rope.cos, rope.sin, 10000);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < qkv.numel(); ++i) qkv.data<float>()[i] = normal(random);
  }

  void lay_out(Arena& in) {
    rope.cos = in.allocate(MemoryUse::kActivations, {shape.sequence_length, shape.head_dim / 2});
    rope.sin = in.allocate(MemoryUse::kActivations, {shape.sequence_length, shape.head_dim / 2});
    qkv = in.allocate(MemoryUse::kActivations, {1, shape.sequence_length, shape.qkv_size()});
    out = in.allocate(MemoryUse::kActivations, {1, shape.sequence_length, shape.heads, shape.head_dim});
    attention.lay_out_kept(in);
    attention.lay_out_recomputed(in);
    attention.lay_out_scratch(in);
  }

  std::vector<float> attend() {
    attention.attend(stream, out, qkv);
    return floats_of(out);
  }

  AttentionShape shape{1, 64, 4, 2, 8};
  std::unique_ptr<Backend> backend;
  Stream stream;
  RopeTable rope;
  LighthouseAttention attention;
  Arena arena;
  Tensor qkv, out;
};

/// cover_prefix, and the width of the sliding window.
class LighthouseCausality : public testing::TestWithParam<std::tuple<bool, int64_t>> {
 protected:
  static bool covers_prefix() { return std::get<0>(GetParam()); }
  static int64_t window() { return std::get<1>(GetParam()); }
  static LighthouseSettings settings() {
    LighthouseSettings result = lighthouse_pass(1, covers_prefix()).attention.lighthouse;
    result.window = window();
    return result;
  }
};

TEST_P(LighthouseCausality, WithAFixedSelection) {
  Layer layer(settings(), 3);
  // With a window select() applies RoPE to q and k, and attend() reads them after it.
  layer.attention.select(layer.stream, layer.qkv);
  const std::vector<float> before = layer.attend();
  const auto row = static_cast<size_t>(layer.shape.heads * layer.shape.head_dim);
  for (int64_t t = 0; t < 64; ++t) {
    const Tensor token = layer.qkv.slice(1, t, t + 1);
    const std::vector<float> kept = floats_of(token);
    for (int64_t i = 0; i < token.numel(); ++i) token.data<float>()[i] += 1 + static_cast<float>(i % 5);
    const std::vector<float> after = layer.attend();
    std::copy(kept.begin(), kept.end(), token.data<float>());
    const auto first = static_cast<size_t>(t) * row;
    for (size_t i = 0; i < first; ++i) {
      ASSERT_EQ(after[i], before[i]) << "token " << t << " changed the output at " << i / row;
    }
    // A gathered entry covers every token, so a later output changes, unless it lies beyond the end.
    if (t < 60 || window() > 0) {
      EXPECT_NE(std::vector<float>(after.begin() + static_cast<int64_t>(first), after.end()),
                std::vector<float>(before.begin() + static_cast<int64_t>(first), before.end()))
          << "token " << t << " has no influence";
    }
  }
}

TEST_P(LighthouseCausality, NoRowIsZeroUnlessThePrefixIsUncovered) {
  int64_t zero_rows = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    Layer layer(settings(), seed);
    layer.attention.forward(layer.stream, layer.out, layer.qkv);
    for (int64_t t = 0; t < 64; ++t) {
      bool zero = true;
      for (float value : floats_of(layer.out.slice(1, t, t + 1))) zero = zero && value == 0;
      EXPECT_TRUE(!zero || (t < 3 && window() == 0)) << "only positions before p^(L-1) - 1 may stay uncovered";
      zero_rows += zero;
    }
  }
  if (covers_prefix() || window() > 0) {
    EXPECT_EQ(zero_rows, 0);
  } else {
    EXPECT_GT(zero_rows, 0) << "with these seeds cover_prefix makes no difference";
  }
}

TEST_P(LighthouseCausality, AttendUsesTheCallersIndices) {
  Layer layer(settings(), 3);
  layer.attention.select(layer.stream, layer.qkv);
  const std::vector<float> first = layer.attend();
  Layer other(settings(), 4);
  other.attention.select(other.stream, other.qkv);
  std::copy_n(layer.attention.indices().data<int32_t>(), layer.attention.indices().numel(),
              other.attention.indices().data<int32_t>());
  std::copy_n(layer.qkv.data<float>(), layer.qkv.numel(), other.qkv.data<float>());
  EXPECT_EQ(other.attend(), first);
}

// Every query sees its window, so no row is empty and every token has influence.
INSTANTIATE_TEST_SUITE_P(Settings, LighthouseCausality,
                         testing::Combine(testing::Bool(), testing::Values(0, 1, 9, 64)));

}  // namespace
}  // namespace lighthouse
