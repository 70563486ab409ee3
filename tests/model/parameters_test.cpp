#include "lighthouse/model/parameters.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "tiny_llama.h"

namespace lighthouse {
namespace {

/// Parameters with their memory.
struct Set {
  explicit Set(const ModelConfig& model_config) : config(model_config) {
    Arena measuring;
    lay_out_parameters(measuring, MemoryUse::kWeights, config);
    arena = Arena(measuring.used());
    parameters = lay_out_parameters(arena, MemoryUse::kWeights, config);
  }

  std::map<std::string, Tensor> views() const {
    std::map<std::string, Tensor> result;
    for (const auto& [name, tensor] : hugging_face_views(parameters, config)) result[name] = tensor;
    return result;
  }

  ModelConfig config;
  Arena arena;
  Parameters parameters;
};

/// Initialized weights by name.
std::map<std::string, std::vector<float>> initial(const ModelConfig& config, uint64_t seed) {
  const Set set(config);
  initialize(set.parameters, config, seed);
  std::map<std::string, std::vector<float>> result;
  for (const auto& [name, tensor] : set.views()) result[name] = floats_of(tensor);
  return result;
}

double deviation(const std::vector<float>& values) {
  double sum = 0;
  double squares = 0;
  for (float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto n = static_cast<double>(values.size());
  EXPECT_LT(std::abs(sum / n), 5 * std::sqrt(squares / n / n)) << "the mean is not 0";
  return std::sqrt(squares / n);
}

const char* const kQ = "model.layers.0.self_attn.q_proj.weight";
const char* const kO = "model.layers.0.self_attn.o_proj.weight";
const char* const kDown = "model.layers.0.mlp.down_proj.weight";
const char* const kEmbed = "model.embed_tokens.weight";

TEST(Parameters, HuggingFaceNamesAndShapes) {
  const Set set(tiny_config());  // C 32, F 24, H 4, G 2, D 8, V 50, 2 layers
  std::map<std::string, Shape> expected{{kEmbed, {50, 32}}, {"model.norm.weight", {32}}, {"lm_head.weight", {50, 32}}};
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    expected[layer + "input_layernorm.weight"] = {32};
    expected[layer + "self_attn.q_proj.weight"] = {32, 32};
    expected[layer + "self_attn.k_proj.weight"] = {16, 32};
    expected[layer + "self_attn.v_proj.weight"] = {16, 32};
    expected[layer + "self_attn.o_proj.weight"] = {32, 32};
    expected[layer + "post_attention_layernorm.weight"] = {32};
    expected[layer + "mlp.gate_proj.weight"] = {24, 32};
    expected[layer + "mlp.up_proj.weight"] = {24, 32};
    expected[layer + "mlp.down_proj.weight"] = {32, 24};
  }
  const auto views = set.views();
  EXPECT_EQ(views.size(), expected.size());
  for (const auto& [name, shape] : expected) {
    ASSERT_TRUE(views.count(name)) << name;
    EXPECT_EQ(views.at(name).shape(), shape) << name;
    EXPECT_TRUE(views.at(name).is_contiguous()) << name;
  }
}

TEST(Parameters, ViewsAreRowsOfTheFusedTensors) {
  const Set set(tiny_config());
  auto views = set.views();
  const LayerParameters& layer = set.parameters.layers[1];
  for (int64_t i = 0; i < layer.qkv.numel(); ++i) layer.qkv.data<float>()[i] = static_cast<float>(i);
  for (int64_t i = 0; i < layer.gate_up.numel(); ++i) layer.gate_up.data<float>()[i] = static_cast<float>(i);
  const auto first_row = [&](const std::string& name) {
    return *views.at("model.layers.1." + name + ".weight").data<float>() / 32;
  };
  EXPECT_EQ(first_row("self_attn.q_proj"), 0);
  EXPECT_EQ(first_row("self_attn.k_proj"), 32);
  EXPECT_EQ(first_row("self_attn.v_proj"), 48);
  EXPECT_EQ(first_row("mlp.gate_proj"), 0);
  EXPECT_EQ(first_row("mlp.up_proj"), 24);
  EXPECT_EQ(views.at("model.layers.1.self_attn.o_proj.weight").raw(), layer.o_proj.raw());
  EXPECT_EQ(views.at("model.layers.1.mlp.down_proj.weight").raw(), layer.down_proj.raw());
  EXPECT_EQ(views.at("lm_head.weight").raw(), set.parameters.lm_head.raw());
}

TEST(Parameters, ViewsCoverEveryElementOnce) {
  for (bool tied : {false, true}) {
    ModelConfig config = tiny_config();
    config.tie_word_embeddings = tied;
    const Set set(config);
    for (const auto& [name, tensor] : set.views()) {
      for (int64_t i = 0; i < tensor.numel(); ++i) tensor.data<float>()[i] += 1;
    }
    int64_t ones = 0;
    for (float value : floats_of(set.parameters.flat)) {
      ASSERT_TRUE(value == 0 || value == 1);
      ones += value == 1;
    }
    EXPECT_EQ(ones, parameter_count(config));
    const int64_t padding = (config.padded_vocab_size() - config.vocab_size) * config.hidden_size;
    const Parameters& all = set.parameters;
    EXPECT_EQ(all.matrices.numel() + all.vectors.numel(), all.flat.numel());
    const int64_t vectors = config.hidden_size * (2 * config.num_hidden_layers + 1);
    EXPECT_GE(all.vectors.numel(), vectors);
    EXPECT_GE(all.matrices.numel(), parameter_count(config) - vectors + (tied ? 1 : 2) * padding);
    EXPECT_GE(all.norm.data<float>(), all.vectors.data<float>());
  }
}

TEST(Parameters, CountByHand) {
  // A layer: 2 norms of 32, qkv 64 x 32, o 32 x 32, gate and up 2 x 24 x 32, down 32 x 24.
  const int64_t layer = 64 + 2048 + 1024 + 1536 + 768;
  ModelConfig config = tiny_config();
  EXPECT_EQ(parameter_count(config), 2 * layer + 32 + 2 * 50 * 32);
  config.tie_word_embeddings = true;
  EXPECT_EQ(parameter_count(config), 2 * layer + 32 + 50 * 32);
}

TEST(Parameters, TiedEmbeddingsAreOneTensor) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  const Set set(config);
  EXPECT_EQ(set.parameters.lm_head.raw(), set.parameters.embed_tokens.raw());
  EXPECT_EQ(set.views().count("lm_head.weight"), 0U);
  const Set untied(tiny_config());
  EXPECT_NE(untied.parameters.lm_head.raw(), untied.parameters.embed_tokens.raw());
}

TEST(Initialize, PaddingStaysZero) {
  const Set set(tiny_config());
  initialize(set.parameters, set.config, 1);
  for (const Tensor& tensor : {set.parameters.embed_tokens, set.parameters.lm_head}) {
    for (float value : floats_of(tensor.slice(0, 50, 128))) ASSERT_EQ(value, 0);
    EXPECT_NE(tensor.data<float>()[50 * 32 - 1], 0);
  }
}

TEST(Initialize, StandardDeviations) {
  ModelConfig config = tiny_config();
  config.hidden_size = 128;
  config.intermediate_size = 160;
  config.num_hidden_layers = 3;
  config.initializer_range = 0.05;
  for (const auto& [name, values] : initial(config, 42)) {
    if (name.find("norm") != std::string::npos) {
      for (float value : values) ASSERT_EQ(value, 1.0f) << name;
      continue;
    }
    const bool residual = name.find("o_proj") != std::string::npos || name.find("down_proj") != std::string::npos;
    const double expected = residual ? 0.05 / std::sqrt(6.0) : 0.05;
    EXPECT_NEAR(deviation(values), expected, 0.04 * expected) << name;
  }
}

TEST(Initialize, IsANormalDistribution) {
  const std::vector<float> values = initial(tiny_config(), 5).at(kEmbed);
  double within_one = 0;
  double within_two = 0;
  for (float value : values) {
    within_one += std::abs(value) < 0.02;
    within_two += std::abs(value) < 0.04;
  }
  EXPECT_NEAR(within_one / static_cast<double>(values.size()), 0.6827, 0.04);
  EXPECT_NEAR(within_two / static_cast<double>(values.size()), 0.9545, 0.02);
}

TEST(Initialize, DependsOnSeedAndNameAlone) {
  const auto weights = initial(tiny_config(), 42);
  EXPECT_EQ(initial(tiny_config(), 42), weights);
  EXPECT_NE(initial(tiny_config(), 43).at(kQ), weights.at(kQ));
  EXPECT_NE(weights.at("model.layers.1.self_attn.q_proj.weight"), weights.at(kQ));
  EXPECT_NE(weights.at("lm_head.weight"), weights.at(kEmbed));

  ModelConfig other = tiny_config();
  other.num_hidden_layers = 8;
  other.intermediate_size = 64;
  other.num_key_value_heads = 4;
  other.vocab_size = 300;
  const auto others = initial(other, 42);
  EXPECT_EQ(others.at(kQ), weights.at(kQ));
  // The residual scale is 1 / sqrt(2 layers); a longer tensor begins with the same numbers.
  for (size_t i = 0; i < weights.at(kO).size(); ++i) {
    ASSERT_NEAR(2 * others.at(kO)[i], weights.at(kO)[i], 1e-8);
  }
  const std::vector<float>& longer = others.at(kEmbed);
  EXPECT_EQ(std::vector<float>(longer.begin(), longer.begin() + 50 * 32), weights.at(kEmbed));
  EXPECT_NE(others.at(kDown), weights.at(kDown));
}

}  // namespace
}  // namespace lighthouse
