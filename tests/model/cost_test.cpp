#include "lighthouse/model/cost.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

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
  const AttentionSettings unused;
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny_config(), unused, AttentionKind::kDense, 1000),
                   6.0 * kMatrices + 2 * 6.0 * 1000 * 32);
}

TEST(Cost, OperationsOfLighthouseLayers) {
  AttentionSettings settings = lighthouse_pass(1).attention;
  const double s = 64 / 4 + 2 * 2 * 8;
  const double layer = 6 * s * s / 64 * 32;
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny_config(), settings, AttentionKind::kLighthouse, 64),
                   6.0 * kMatrices + 2 * layer);
  settings.lighthouse.dense_layers = {-1};
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny_config(), settings, AttentionKind::kLighthouse, 64),
                   6.0 * kMatrices + layer + 6.0 * 64 * 32);
}

/// Operations of forward and backward of a window layer for one of `n` tokens: 12 for each pair and dimension, with the
/// pairs of the sequence counted one by one.
double window_flops(int64_t length, int64_t window) {
  double pairs = 0;
  for (int64_t i = 0; i < length; ++i) pairs += static_cast<double>(std::min(i + 1, window));
  return 12 * pairs / static_cast<double>(length) * 32;
}

TEST(Cost, OperationsOfWindowLayers) {
  AttentionSettings settings;
  settings.window = 100;
  const double matrices = 6.0 * kMatrices;
  const auto flops = [&](const ModelConfig& config, AttentionKind step, int64_t length) {
    return training_flops_per_token(config, settings, step, length);
  };
  EXPECT_DOUBLE_EQ(flops(tiny_config(), AttentionKind::kWindow, 1000), matrices + 2 * window_flops(1000, 100));
  EXPECT_DOUBLE_EQ(flops(tiny_config(), AttentionKind::kWindow, 100), flops(tiny_config(), AttentionKind::kDense, 100))
      << "a window as long as the sequence";
  ModelConfig own = tiny_config();
  own.sliding_window = 30;
  own.full_attention_layers = {0};
  EXPECT_DOUBLE_EQ(flops(own, AttentionKind::kDense, 1000), matrices + 6.0 * 1000 * 32 + window_flops(1000, 30));
  EXPECT_DOUBLE_EQ(flops(own, AttentionKind::kWindow, 1000),
                   matrices + window_flops(1000, 100) + window_flops(1000, 30));
}

TEST(Cost, OperationsOfLighthouseWithAWindow) {
  AttentionSettings settings = lighthouse_pass(1).attention;
  settings.lighthouse.window = 10;
  const double s = 64 / 4 + 2 * 2 * 8;
  const double lighthouse = 6 * s * s / 64 * 32;
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny_config(), settings, AttentionKind::kLighthouse, 64),
                   6.0 * kMatrices + 2 * (lighthouse + window_flops(64, 10)));
  settings.window = 20;
  settings.lighthouse.window_layers = {0};
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny_config(), settings, AttentionKind::kLighthouse, 64),
                   6.0 * kMatrices + window_flops(64, 20) + lighthouse + window_flops(64, 10));
}

constexpr auto kLighthouseStep = AttentionKind::kLighthouse;
constexpr LayerAttention D{};
constexpr LayerAttention L{AttentionKind::kLighthouse, 0};
constexpr LayerAttention W{AttentionKind::kWindow, 1024};
constexpr LayerAttention LW{AttentionKind::kLighthouse, 256};
using Layers = std::vector<LayerAttention>;

TEST(AttentionOfLayers, CountsFromBothEnds) {
  AttentionSettings settings;
  std::vector<int64_t>& dense_layers = settings.lighthouse.dense_layers;
  dense_layers = {0, 1, -2, -1};
  EXPECT_EQ(attention_of_layers(kLighthouseStep, settings, 6), (Layers{D, D, L, L, D, D}));
  EXPECT_EQ(attention_of_layers(kLighthouseStep, settings, 4), (Layers{D, D, D, D}));
  EXPECT_EQ(attention_of_layers(AttentionKind::kDense, settings, 3), (Layers{D, D, D}));
  dense_layers = {-3, 0};
  EXPECT_EQ(attention_of_layers(kLighthouseStep, settings, 5), (Layers{D, L, D, L, L}));
  dense_layers = {};
  EXPECT_EQ(attention_of_layers(kLighthouseStep, settings, 2), (Layers{L, L}));
}

TEST(AttentionOfLayers, TheFourArrangementsOfTheExperiments) {
  const AttentionSettings paper;
  EXPECT_EQ(attention_of_layers(kLighthouseStep, paper, 6), (Layers{D, D, L, L, D, D}));

  AttentionSettings with_window;
  with_window.window = 1024;
  with_window.lighthouse.window = 256;
  with_window.lighthouse.dense_layers = {};
  with_window.lighthouse.window_layers = {0, -1};
  EXPECT_EQ(attention_of_layers(kLighthouseStep, with_window, 6), (Layers{W, LW, LW, LW, LW, W}));
  EXPECT_EQ(attention_of_layers(AttentionKind::kDense, with_window, 6), Layers(6, D));

  AttentionSettings control;
  control.window = 1024;
  EXPECT_EQ(attention_of_layers(AttentionKind::kWindow, control, 6), Layers(6, W))
      << "dense_layers apply to Lighthouse steps only";

  AttentionSettings in_turn;
  in_turn.window = 1024;
  in_turn.lighthouse.dense_layers = {};
  in_turn.lighthouse.window_every = 2;
  EXPECT_EQ(attention_of_layers(kLighthouseStep, in_turn, 6), (Layers{W, L, W, L, W, L}));
}

TEST(AttentionOfLayers, WindowEveryLeavesDenseLayersAndAddsToWindowLayers) {
  AttentionSettings settings;
  settings.window = 1024;
  settings.lighthouse.dense_layers = {0, -1};
  settings.lighthouse.window_every = 3;
  EXPECT_EQ(attention_of_layers(kLighthouseStep, settings, 8), (Layers{D, L, L, W, L, L, W, D}));
  settings.lighthouse.window_layers = {1};
  EXPECT_EQ(attention_of_layers(kLighthouseStep, settings, 8), (Layers{D, W, L, W, L, L, W, D}));
  settings.lighthouse.window_every = 100;
  settings.lighthouse.dense_layers = {};
  EXPECT_EQ(attention_of_layers(kLighthouseStep, settings, 3), (Layers{W, W, L}));
}

TEST(AttentionOfLayers, SlidingWindowAppliesToEveryStep) {
  ModelConfig config = tiny_config();
  config.num_hidden_layers = 4;
  config.sliding_window = 30;
  config.full_attention_layers = {1, -1};
  AttentionSettings settings;
  settings.window = 1024;
  settings.lighthouse.window = 256;
  settings.lighthouse.dense_layers = {0};
  const LayerAttention own{AttentionKind::kWindow, 30};
  EXPECT_EQ(attention_of_layers(AttentionKind::kDense, settings, config), (Layers{own, D, own, D}));
  EXPECT_EQ(attention_of_layers(AttentionKind::kWindow, settings, config), (Layers{own, W, own, W}));
  EXPECT_EQ(attention_of_layers(kLighthouseStep, settings, config), (Layers{own, LW, own, LW}));
  EXPECT_EQ(config.sliding_windows(), (std::vector<int64_t>{30, 0, 30, 0}));
}

}  // namespace
}  // namespace lighthouse
