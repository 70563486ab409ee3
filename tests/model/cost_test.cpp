#include "lighthouse/model/cost.h"

#include <gtest/gtest.h>

#include "tiny_llama.h"

namespace lighthouse {
namespace {

// A layer of tiny_config(): qkv 64 x 32, o 32 x 32, gate and up 48 x 32, down 32 x 24; two of them, and lm_head 50
// x 32.
constexpr int64_t kMatrices = 2 * (2048 + 1024 + 1536 + 768) + 1600;

TEST(Cost, MatrixParametersByHand) {
  ModelConfig config = tiny_config();
  EXPECT_EQ(matrix_parameter_count(config), kMatrices);
  config.tie_word_embeddings = true;
  EXPECT_EQ(matrix_parameter_count(config), kMatrices) << "a tied output layer counts";
}

TEST(Cost, OperationsOfDenseLayers) {
  const LighthouseSettings unused;
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny_config(), unused, AttentionKind::kDense, 1000),
                   6.0 * kMatrices + 2 * 6.0 * 1000 * 32);
}

TEST(Cost, OperationsOfLighthouseLayers) {
  LighthouseSettings lighthouse = lighthouse_pass(1).attention.lighthouse;
  const double s = 64 / 4 + 2 * 2 * 8;
  const double layer = 6 * s * s / 64 * 32;
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny_config(), lighthouse, AttentionKind::kLighthouse, 64),
                   6.0 * kMatrices + 2 * layer);
  lighthouse.dense_layers = {-1};
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny_config(), lighthouse, AttentionKind::kLighthouse, 64),
                   6.0 * kMatrices + layer + 6.0 * 64 * 32);
}

TEST(AttentionOfLayers, CountsFromBothEnds) {
  constexpr auto D = AttentionKind::kDense;
  constexpr auto L = AttentionKind::kLighthouse;
  LighthouseSettings settings;
  settings.dense_layers = {0, 1, -2, -1};
  EXPECT_EQ(attention_of_layers(L, settings, 6), (std::vector{D, D, L, L, D, D}));
  EXPECT_EQ(attention_of_layers(L, settings, 4), (std::vector{D, D, D, D}));
  EXPECT_EQ(attention_of_layers(D, settings, 3), (std::vector{D, D, D}));
  settings.dense_layers = {-3, 0};
  EXPECT_EQ(attention_of_layers(L, settings, 5), (std::vector{D, L, D, L, L}));
  settings.dense_layers = {};
  EXPECT_EQ(attention_of_layers(L, settings, 2), (std::vector{L, L}));
}

}  // namespace
}  // namespace lighthouse
