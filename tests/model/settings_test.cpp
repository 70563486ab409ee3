// Settings of the model and of Lighthouse Attention that cannot be.
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
  LighthouseSettings settings = lighthouse_pass(1).attention.lighthouse;  // L 3, p 2, k 8, tile 4
  change(settings);
  return refusal([&] { settings.check(length, 4); });
}

TEST(LighthouseSettings, ValidOnesPass) {
  EXPECT_EQ(refusal([](LighthouseSettings&) {}), "");
  EXPECT_EQ(refusal([](LighthouseSettings& s) { s.dense_layers = {-4, 3}; }), "");
  EXPECT_EQ(refusal([](LighthouseSettings& s) { s.dilation = 5; }), "") << "the norm scorer has no use for it";
}

TEST(LighthouseSettings, EachRuleIsHeld) {
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

TEST(ModelConfig, SizesMustFitTogether) {
  const auto refused = [](const std::function<void(ModelConfig&)>& change) {
    ModelConfig config = tiny_config();
    change(config);
    return refusal([&] { config.check(); });
  };
  EXPECT_EQ(refused([](ModelConfig&) {}), "");
  EXPECT_TRUE(contains(refused([](ModelConfig& c) { c.hidden_size = 40; }), "hidden_size 40")) << "heads of 10";
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
