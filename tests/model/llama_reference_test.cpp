// The model against ReferenceLlama: losses, and gradients by finite differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "lighthouse/model/attention/lighthouse.h"
#include "reference_llama.h"
#include "tiny_llama.h"

namespace lighthouse {
namespace {

ReferenceLlama reference_of(TinyLlama& tiny) {
  ModelConfig config = tiny.config;
  config.rope_theta = tiny.settings.rope_theta;
  ReferenceLlama reference(config, tiny.settings.batch, tiny.settings.sequence_length);
  for (const NamedParameter& parameter : hugging_face_views(tiny.weights, tiny.config)) {
    const std::vector<float> values = floats_of(parameter.tensor);
    reference.weights[parameter.name] = Values(values.begin(), values.end());
  }
  const auto layers = attention_of_layers(tiny.settings.kind, tiny.settings.attention, tiny.config);
  for (int64_t layer = 0; layer < tiny.config.num_hidden_layers; ++layer) {
    const int64_t window = layers[static_cast<size_t>(layer)].window;
    if (window > 0) reference.windows[layer] = window;
    const auto* lighthouse = dynamic_cast<const LighthouseAttention*>(&tiny.model.attention(layer));
    if (lighthouse == nullptr) continue;
    const int32_t* entries = lighthouse->indices().data<int32_t>();
    reference.selections[layer] = {tiny.settings.attention.lighthouse.shape(tiny.settings.sequence_length),
                                   {entries, entries + lighthouse->indices().numel()}};
  }
  return reference;
}

std::vector<int32_t> ints_of(const Tensor& tensor) {
  return {tensor.data<int32_t>(), tensor.data<int32_t>() + tensor.numel()};
}

void expect_reference_losses(TinyLlama& tiny, const ReferenceLlama& reference) {
  const Values expected = reference.losses(ints_of(tiny.inputs), ints_of(tiny.targets));
  const std::vector<float> actual = tiny.losses();
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t t = 0; t < actual.size(); ++t) {
    EXPECT_NEAR(actual[t], expected[t], 2e-5 * std::max(1.0, std::abs(expected[t]))) << "token " << t;
  }
}

/// The derivative of the reference's loss when a tensor moves along `direction`.
double slope(ReferenceLlama& reference, TinyLlama& tiny, const std::string& name, const Values& direction) {
  constexpr double kStep = 1e-5;
  Values& weight = reference.weights.at(name);
  const Values middle = weight;
  const auto loss_at = [&](double distance) {
    for (size_t i = 0; i < weight.size(); ++i) weight[i] = middle[i] + distance * direction[i];
    return reference.loss(ints_of(tiny.inputs), ints_of(tiny.targets));
  };
  const double result = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
  weight = middle;
  return result;
}

/// For each tensor: its largest gradients, a few at random places, and all of them at once along a random direction.
void expect_reference_gradients(TinyLlama& tiny, ReferenceLlama& reference) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  for (const NamedParameter& gradient : hugging_face_views(tiny.gradients, tiny.config)) {
    const std::vector<float> g = floats_of(gradient.tensor);
    const auto largest = static_cast<size_t>(
        std::max_element(g.begin(), g.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }) - g.begin());
    const double scale = std::abs(g[largest]);
    EXPECT_GT(scale, 1e-6) << gradient.name << " has no gradient";
    for (size_t place : {largest, random() % g.size(), random() % g.size()}) {
      Values direction(g.size());
      direction[place] = 1;
      EXPECT_NEAR(g[place], slope(reference, tiny, gradient.name, direction), 5e-5 * scale)
          << gradient.name << ", element " << place;
    }
    Values direction(g.size());
    double product = 0;
    double norm = 0;
    for (size_t i = 0; i < g.size(); ++i) {
      direction[i] = normal(random);
      product += direction[i] * g[i];
      norm += static_cast<double>(g[i]) * g[i];
    }
    EXPECT_NEAR(product, slope(reference, tiny, gradient.name, direction), 5e-5 * std::sqrt(norm)) << gradient.name;
  }
}

void expect_reference(TinyLlama& tiny) {
  tiny.forward_backward();
  ReferenceLlama reference = reference_of(tiny);
  expect_reference_losses(tiny, reference);
  expect_reference_gradients(tiny, reference);
}

TEST(LlamaReference, Dense) {
  PassSettings pass = dense_pass(2, 17);
  pass.rope_theta = 100;
  TinyLlama tiny(tiny_config(), pass);
  tiny.targets.data<int32_t>()[5] = -1;
  expect_reference(tiny);
}

TEST(LlamaReference, TiedEmbeddings) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  TinyLlama tiny(config, dense_pass(2, 16));
  expect_reference(tiny);
}

TEST(LlamaReference, OneKeyValueHeadForEachQueryHead) {
  ModelConfig config = tiny_config();
  config.num_key_value_heads = config.num_attention_heads;
  TinyLlama tiny(config, dense_pass(1, 16));
  expect_reference(tiny);
}

TEST(LlamaReference, HeadsOfAnExplicitSize) {
  ModelConfig config = tiny_config();
  for (const int64_t head_dim : {16, 24}) {
    config.explicit_head_dim = head_dim;
    TinyLlama dense(config, dense_pass(2, 16));
    expect_reference(dense);
    TinyLlama lighthouse(config, lighthouse_pass(1));
    expect_reference(lighthouse);
  }
}

TEST(LlamaReference, Lighthouse) {
  TinyLlama tiny(tiny_config(), lighthouse_pass(2));
  expect_reference(tiny);
}

TEST(LlamaReference, LighthouseWithUncoveredPrefix) {
  TinyLlama tiny(tiny_config(), lighthouse_pass(1, false));
  expect_reference(tiny);
}

TEST(LlamaReference, LighthouseAmongDenseLayersTiedDilated) {
  ModelConfig config = tiny_config();
  config.num_hidden_layers = 3;
  config.tie_word_embeddings = true;
  PassSettings pass = lighthouse_pass(1);
  pass.attention.lighthouse.dense_layers = {0, -1};
  pass.attention.lighthouse.scorer = Scorer::kDilated;
  pass.attention.lighthouse.dilation = 4;
  TinyLlama tiny(config, pass);
  ASSERT_EQ(dynamic_cast<LighthouseAttention*>(&tiny.model.attention(0)), nullptr);
  ASSERT_NE(dynamic_cast<LighthouseAttention*>(&tiny.model.attention(1)), nullptr);
  expect_reference(tiny);
}

TEST(LlamaReference, Windows) {
  PassSettings pass = dense_pass(2, 17);
  pass.kind = AttentionKind::kWindow;
  pass.attention.window = 5;
  TinyLlama tiny(tiny_config(), pass);
  expect_reference(tiny);
  EXPECT_EQ(reference_of(tiny).windows, (std::map<int64_t, int64_t>{{0, 5}, {1, 5}}));
}

TEST(LlamaReference, LighthouseWithAWindow) {
  for (const int64_t window : {1, 7, 64}) {
    SCOPED_TRACE(testing::Message() << "window " << window);
    PassSettings pass = lighthouse_pass(1);
    pass.attention.lighthouse.window = window;
    TinyLlama tiny(tiny_config(), pass);
    expect_reference(tiny);
    const ReferenceLlama reference = reference_of(tiny);
    EXPECT_EQ(reference.windows, (std::map<int64_t, int64_t>{{0, window}, {1, window}}));
    EXPECT_EQ(reference.selections.size(), 2U);
  }
}

TEST(LlamaReference, LighthouseWithAWindowDilatedTwoSequences) {
  PassSettings pass = lighthouse_pass(2, false);
  pass.attention.lighthouse.window = 10;
  pass.attention.lighthouse.scorer = Scorer::kDilated;
  pass.attention.lighthouse.dilation = 4;
  TinyLlama tiny(tiny_config(), pass);
  expect_reference(tiny);
}

TEST(LlamaReference, EveryKindOfLayer) {
  ModelConfig config = tiny_config();
  config.num_hidden_layers = 4;
  PassSettings pass = lighthouse_pass(1);
  pass.attention.window = 9;
  pass.attention.lighthouse.window = 5;
  pass.attention.lighthouse.dense_layers = {1};
  pass.attention.lighthouse.window_layers = {0, -1};
  TinyLlama tiny(config, pass);
  expect_reference(tiny);
  EXPECT_EQ(reference_of(tiny).windows, (std::map<int64_t, int64_t>{{0, 9}, {2, 5}, {3, 9}}));
}

TEST(LlamaReference, SlidingWindow) {
  ModelConfig config = tiny_config();
  config.num_hidden_layers = 3;
  config.sliding_window = 6;
  config.full_attention_layers = {-2};
  TinyLlama dense(config, dense_pass(2, 19));
  expect_reference(dense);
  EXPECT_EQ(reference_of(dense).windows, (std::map<int64_t, int64_t>{{0, 6}, {2, 6}}));

  PassSettings pass = lighthouse_pass(1);
  pass.attention.lighthouse.window = 4;
  TinyLlama lighthouse(config, pass);
  expect_reference(lighthouse);
  EXPECT_EQ(reference_of(lighthouse).windows, (std::map<int64_t, int64_t>{{0, 6}, {1, 4}, {2, 6}}));
}

TEST(LlamaReference, GradientsAddUpOverMicroBatches) {
  TinyLlama both(tiny_config(), dense_pass(2, 16));
  both.forward_backward();
  TinyLlama one(tiny_config(), dense_pass(1, 16));
  const std::vector<int32_t> inputs = ints_of(both.inputs);
  const std::vector<int32_t> targets = ints_of(both.targets);
  for (int64_t half : {0, 16}) {
    one.set_batch({inputs.begin() + half, inputs.begin() + half + 16},
                  {targets.begin() + half, targets.begin() + half + 16});
    one.model.forward(one.stream, one.weights, one.inputs);
    one.model.loss_backward(one.stream, one.weights, one.gradients, one.targets, 1.0 / 32);
    one.model.backward(one.stream, one.weights, one.gradients, one.inputs);
  }
  const std::vector<float> expected = floats_of(both.gradients.flat);
  const std::vector<float> actual = floats_of(one.gradients.flat);
  // Compared by norm: a small gradient has the rounding error of the large terms of its sum. The order of a sum depends
  // on the size of the product and on the processor.
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  EXPECT_LT(std::sqrt(difference / norm), 5e-6);
}

}  // namespace
}  // namespace lighthouse
