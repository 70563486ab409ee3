// Recomputed activations have the same bits.
#include "lighthouse/model/recompute.h"

#include <gtest/gtest.h>

#include "tiny_llama.h"

namespace lighthouse {
namespace {

/// Each kind of layer alone, and all kinds in one model.
std::vector<PassSettings> arrangements() {
  PassSettings window = dense_pass(2, 40);
  window.kind = AttentionKind::kWindow;
  window.attention.window = 11;
  PassSettings documents = window;
  documents.document_end = 7;
  PassSettings with_window = lighthouse_pass(2);
  with_window.attention.lighthouse.window = 5;
  PassSettings mixed = with_window;
  mixed.attention.window = 11;
  mixed.attention.lighthouse.window_layers = {0};
  mixed.attention.lighthouse.dense_layers = {2};
  return {dense_pass(2, 40), window, documents, lighthouse_pass(2), with_window, mixed};
}

ModelConfig four_layers() {
  ModelConfig config = tiny_config();
  config.num_hidden_layers = 4;
  return config;
}

class RecomputeTest : public testing::TestWithParam<Recompute> {};

TEST_P(RecomputeTest, GivesTheSameGradients) {
  for (PassSettings settings : arrangements()) {
    TinyLlama all_kept(four_layers(), settings);
    all_kept.forward_backward();
    settings.recompute = GetParam();
    TinyLlama recomputing(four_layers(), settings);
    recomputing.forward_backward();
    EXPECT_EQ(recomputing.losses(), all_kept.losses());
    EXPECT_EQ(floats_of(recomputing.gradients.flat), floats_of(all_kept.gradients.flat))
        << name_of(settings.kind) << ", Lighthouse window " << settings.attention.lighthouse.window << ", "
        << name_of(GetParam());
  }
}

INSTANTIATE_TEST_SUITE_P(All, RecomputeTest, testing::Values(Recompute::kNorms, Recompute::kMlp, Recompute::kBlock),
                         [](const auto& of) { return std::string(name_of(of.param)); });

int64_t memory_of(const ModelConfig& config, const PassSettings& settings) {
  const auto backend = make_cpu_backend();
  Arena arena;
  Llama(config, settings, *backend).lay_out(arena);
  return arena.used();
}

// What the window of a Lighthouse layer adds: q, k, v and the window's output where blocks are kept, the log-sum-exp
// alone where they are recomputed.
TEST(Recompute, MemoryOfALighthouseWindow) {
  const auto of_a_layer = [](PassSettings settings, Recompute recompute) {
    settings.recompute = recompute;
    ModelConfig config = tiny_config();
    config.num_hidden_layers = 12;
    const int64_t more = memory_of(config, settings);
    config.num_hidden_layers = 2;
    return (more - memory_of(config, settings)) / 10;
  };
  const PassSettings without = lighthouse_pass(2);
  PassSettings with = without;
  with.attention.lighthouse.window = 8;
  const int64_t tokens = 2 * 64, lse = tokens * 4 * 4, qkv = tokens * 64 * 4, out = tokens * 32 * 4;
  EXPECT_EQ(of_a_layer(with, Recompute::kNone) - of_a_layer(without, Recompute::kNone), lse + qkv + out);
  EXPECT_EQ(of_a_layer(with, Recompute::kMlp) - of_a_layer(without, Recompute::kMlp), lse + qkv + out);
  EXPECT_EQ(of_a_layer(with, Recompute::kBlock) - of_a_layer(without, Recompute::kBlock), lse);
}

TEST(Recompute, EachLevelKeepsLess) {
  ModelConfig config = tiny_config();
  config.num_hidden_layers = 12;
  for (PassSettings settings : arrangements()) {
    int64_t before = INT64_MAX;
    for (const Recompute recompute : {Recompute::kNone, Recompute::kNorms, Recompute::kMlp, Recompute::kBlock}) {
      settings.recompute = recompute;
      const int64_t used = memory_of(config, settings);
      EXPECT_LT(used, before) << name_of(settings.kind) << ", " << name_of(recompute);
      before = used;
    }
  }
}

}  // namespace
}  // namespace lighthouse
