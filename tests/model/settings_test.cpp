// Settings of the model and of attention that are refused.
#include "lighthouse/model/attention/settings.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "lighthouse/core/error.h"
#include "tiny_llama.h"

namespace lighthouse {
namespace {

std::string refusal(const std::function<void()>& check) {
  try {
    check();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string refusal(const std::function<void(LighthouseSettings&)>& change, int64_t length = 64) {
  AttentionSettings settings = lighthouse_pass(1).attention;  // L 3, p 2, k 8, tile 4
  change(settings.lighthouse);
  return refusal([&] { settings.check(AttentionKind::kLighthouse, length, 4); });
}

/// The error for a step of a model of four layers, with windows of 16 unless `change` changes them.
std::string refusal_of_step(AttentionKind step, const std::function<void(AttentionSettings&)>& change) {
  AttentionSettings settings = lighthouse_pass(1).attention;
  settings.window = 16;
  change(settings);
  return refusal([&] { settings.check(step, 64, 4); });
}

TEST(LighthouseSettings, ValidOnesPass) {
  EXPECT_EQ(refusal([](LighthouseSettings&) {}), "");
  EXPECT_EQ(refusal([](LighthouseSettings& s) { s.dense_layers = {-4, 3}; }), "");
  EXPECT_EQ(refusal([](LighthouseSettings& s) { s.dilation = 5; }), "") << "the norm scorer does not use it";
}

TEST(LighthouseSettings, EachRuleIsChecked) {
  EXPECT_NE(refusal([](LighthouseSettings& s) { s.levels = 1; }), "");
  EXPECT_NE(refusal([](LighthouseSettings& s) { s.pooling_factor = 1; }), "");
  EXPECT_NE(refusal([](LighthouseSettings& s) { s.tile = 3; }), "");
  EXPECT_NE(refusal([](LighthouseSettings& s) { s.top_k = 2; }), "");
  EXPECT_NE(refusal([](LighthouseSettings& s) { s.top_k = 10; }), "");
  EXPECT_NE(refusal([](LighthouseSettings& s) { s.top_k = 12; }), "") << "16 entries cannot be cut into 3 tiles";
  EXPECT_NE(refusal([](LighthouseSettings& s) { s.top_k = 32; }), "") << "2 entries a tile are fewer than 4";
  EXPECT_NE(refusal([](LighthouseSettings&) {}, 66), "") << "4 does not divide 66";
}

TEST(LighthouseSettings, HugePyramidsAreRefusedNotOverflowed) {
  EXPECT_TRUE(contains(refusal([](LighthouseSettings& s) { s.levels = 100; }), "levels"));
  EXPECT_TRUE(contains(refusal([](LighthouseSettings& s) { s.pooling_factor = INT64_MAX / 2; }), "pooling_factor"));
}

TEST(LighthouseSettings, DilationMustDivide) {
  const std::string message = refusal([](LighthouseSettings& s) {
    s.scorer = Scorer::kDilated;
    s.dilation = 5;
  });
  EXPECT_TRUE(contains(message, "dilation 5") && contains(message, "4")) << message;
}

TEST(LighthouseSettings, DenseLayersMustExist) {
  EXPECT_TRUE(contains(refusal([](LighthouseSettings& s) { s.dense_layers = {4}; }), "layer 4"));
  EXPECT_TRUE(contains(refusal([](LighthouseSettings& s) { s.dense_layers = {-5}; }), "layer -5"));
}

TEST(AttentionSettings, WindowLayersNeedAWidth) {
  constexpr auto kW = AttentionKind::kWindow, kL = AttentionKind::kLighthouse, kD = AttentionKind::kDense;
  EXPECT_EQ(refusal_of_step(kW, [](AttentionSettings&) {}), "");
  EXPECT_TRUE(contains(refusal_of_step(kW, [](AttentionSettings& s) { s.window = 0; }), "attention.window"));
  EXPECT_EQ(refusal_of_step(kL, [](AttentionSettings& s) { s.window = 0; }), "") << "no layer is of kind window";
  const auto with_layers = [](AttentionSettings& s) {
    s.window = 0;
    s.lighthouse.window_layers = {1};
  };
  const auto with_every = [](AttentionSettings& s) {
    s.window = 0;
    s.lighthouse.window_every = 2;
  };
  EXPECT_TRUE(contains(refusal_of_step(kL, with_layers), "attention.window"));
  EXPECT_TRUE(contains(refusal_of_step(kL, with_every), "attention.window"));
  EXPECT_EQ(refusal_of_step(kD, with_layers), "") << "a dense step does not use it";
  EXPECT_EQ(refusal_of_step(kL,
                            [](AttentionSettings& s) {
                              s.window = 0;
                              s.lighthouse.window = 8;
                            }),
            "")
      << "the window of a Lighthouse layer has its own width";
}

TEST(AttentionSettings, WindowLayersMustExist) {
  const auto layers = [](std::vector<int64_t> named) {
    return refusal_of_step(AttentionKind::kLighthouse,
                           [&](AttentionSettings& s) { s.lighthouse.window_layers = named; });
  };
  EXPECT_EQ(layers({0, -1}), "");
  EXPECT_TRUE(contains(layers({4}), "window_layers names layer 4") && contains(layers({4}), "4 layers")) << layers({4});
  EXPECT_TRUE(contains(layers({-5}), "layer -5"));
}

TEST(AttentionSettings, ALayerHasOneKind) {
  const auto both = [](std::vector<int64_t> dense, std::vector<int64_t> window) {
    return refusal_of_step(AttentionKind::kLighthouse, [&](AttentionSettings& s) {
      s.lighthouse.dense_layers = dense;
      s.lighthouse.window_layers = window;
    });
  };
  EXPECT_EQ(both({0}, {1}), "");
  EXPECT_TRUE(contains(both({0}, {0}), "layer 0 is in dense_layers and in window_layers")) << both({0}, {0});
  EXPECT_TRUE(contains(both({-1}, {0, 3}), "layer 3")) << "the same layer by two names: " << both({-1}, {0, 3});
}

TEST(AttentionSettings, SomeLayerIsLighthouse) {
  constexpr auto kL = AttentionKind::kLighthouse;
  const auto refused = [](const std::function<void(LighthouseSettings&)>& change) {
    return refusal_of_step(kL, [&](AttentionSettings& s) { change(s.lighthouse); });
  };
  const std::string all_dense = refused([](LighthouseSettings& s) { s.dense_layers = {0, 1, -2, -1}; });
  EXPECT_TRUE(contains(all_dense, "[0, 1, -2, -1] makes all 4 layers") && contains(all_dense, "[0, -1]")) << all_dense;
  const std::string all_window = refused([](LighthouseSettings& s) { s.window_every = 1; });
  EXPECT_TRUE(contains(all_window, "window_every 1") && contains(all_window, "attention: window")) << all_window;
  const std::string mixed = refused([](LighthouseSettings& s) {
    s.dense_layers = {0, 1};
    s.window_layers = {-1, -2};
  });
  EXPECT_TRUE(contains(mixed, "dense_layers [0, 1], window_layers [-1, -2]")) << mixed;
  EXPECT_EQ(refused([](LighthouseSettings& s) { s.window_every = 2; }), "");
}

TEST(AttentionSettings, LighthouseIsCheckedInLighthouseStepsOnly) {
  const auto broken = [](AttentionSettings& s) { s.lighthouse.top_k = 2; };
  EXPECT_NE(refusal_of_step(AttentionKind::kLighthouse, broken), "");
  EXPECT_EQ(refusal_of_step(AttentionKind::kWindow, broken), "");
  EXPECT_EQ(refusal_of_step(AttentionKind::kDense, broken), "");
}

TEST(AttentionSettings, NamesAreReadAndWritten) {
  for (const AttentionKind kind : {AttentionKind::kDense, AttentionKind::kWindow, AttentionKind::kLighthouse}) {
    EXPECT_EQ(attention_kind_of(name_of(kind)), kind);
  }
  const std::string message = refusal([] { attention_kind_of("flash"); });
  EXPECT_TRUE(contains(message, "\"flash\"") && contains(message, "dense, window or lighthouse")) << message;
  EXPECT_EQ(describe({AttentionKind::kDense, 0}), "dense");
  EXPECT_EQ(describe({AttentionKind::kWindow, 1024}), "window 1024");
  EXPECT_EQ(describe({AttentionKind::kLighthouse, 0}), "lighthouse");
  EXPECT_EQ(describe({AttentionKind::kLighthouse, 256}), "lighthouse + window 256");
}

TEST(ModelConfig, SlidingWindowsMustBePossible) {
  const auto refused = [](int64_t window, const std::vector<int64_t>& full) {
    ModelConfig config = tiny_config();
    config.num_hidden_layers = 4;
    config.sliding_window = window;
    config.full_attention_layers = full;
    return refusal([&] { config.check(); });
  };
  EXPECT_EQ(refused(16, {}), "");
  EXPECT_EQ(refused(16, {0, -1}), "");
  EXPECT_EQ(refused(1, {}), "");
  EXPECT_TRUE(contains(refused(-1, {}), "sliding_window is -1"));
  EXPECT_TRUE(contains(refused(0, {1}), "sliding_window, its width, is not set"));
  EXPECT_TRUE(contains(refused(16, {4}), "full_attention_layers names layer 4"));
  EXPECT_TRUE(contains(refused(16, {-5}), "layer -5"));
}

TEST(ModelConfig, SizesMustFitTogether) {
  const auto refused = [](const std::function<void(ModelConfig&)>& change) {
    ModelConfig config = tiny_config();
    change(config);
    return refusal([&] { config.check(); });
  };
  EXPECT_EQ(refused([](ModelConfig&) {}), "");
  EXPECT_TRUE(contains(refused([](ModelConfig& c) { c.hidden_size = 40; }), "hidden_size 40")) << "heads of 10";
  EXPECT_TRUE(contains(refused([](ModelConfig& c) { c.explicit_head_dim = 12; }), "head_dim is 12"));
  EXPECT_TRUE(contains(refused([](ModelConfig& c) { c.num_attention_heads = 3; }), "num_attention_heads 3"));
  EXPECT_TRUE(contains(refused([](ModelConfig& c) { c.num_key_value_heads = 3; }), "num_key_value_heads 3"));
  EXPECT_TRUE(contains(refused([](ModelConfig& c) { c.num_hidden_layers = 0; }), "num_hidden_layers"));
  EXPECT_TRUE(contains(refused([](ModelConfig& c) { c.vocab_size = -1; }), "vocab_size"));
}

TEST(ModelConfig, EveryPresetIsValid) {
  EXPECT_FALSE(model_preset("no such model"));
  for (const std::string& name : model_preset_names()) {
    ASSERT_TRUE(model_preset(name)) << name;
    EXPECT_NO_THROW(model_preset(name)->check()) << name;
  }
  EXPECT_NEAR(static_cast<double>(parameter_count(*model_preset("paper-530m"))), 530e6, 0.03 * 530e6);
}

}  // namespace
}  // namespace lighthouse
