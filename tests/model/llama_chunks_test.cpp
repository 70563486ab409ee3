// Tensors that are made for chunks of tokens: the logits of a large vocabulary, the feed-forward network of many
// tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "reference_llama.h"
#include "tiny_llama.h"

namespace lighthouse {
namespace {

class LargeVocabulary : public testing::TestWithParam<bool> {
 protected:
  /// The logits of 239 tokens fit into 64 MiB; rounded down to a multiple of 128.
  static ModelConfig config() {
    ModelConfig config;
    config.vocab_size = 70000;
    config.hidden_size = 8;
    config.intermediate_size = 8;
    config.num_hidden_layers = 1;
    config.num_attention_heads = 1;
    config.num_key_value_heads = 1;
    config.tie_word_embeddings = GetParam();
    return config;
  }
};

TEST_P(LargeVocabulary, LogitsAreMadeInChunks) {
  const PassSettings three = dense_pass(3, 100);
  const auto backend = make_cpu_backend();
  Llama model(config(), three, *backend);
  Arena measuring;
  model.lay_out(measuring);
  EXPECT_GE(measuring.used(MemoryUse::kScratch), 128 * config().padded_vocab_size() * 4);
  EXPECT_LT(measuring.used(), 150 * config().padded_vocab_size() * 4);
}

TEST_P(LargeVocabulary, LogitsBytesSetsTheChunk) {
  PassSettings all = dense_pass(3, 100);
  all.logits_bytes = 384 * config().padded_vocab_size() * 4;  // a multiple of 128 tokens
  Arena measuring;
  const auto backend = make_cpu_backend();
  Llama(config(), all, *backend).lay_out(measuring);
  EXPECT_GE(measuring.used(MemoryUse::kScratch), 300 * config().padded_vocab_size() * 4);
  TinyLlama whole(config(), all), chunked(config(), dense_pass(3, 100));
  whole.forward_backward();
  chunked.forward_backward();
  const std::vector<float> expected = floats_of(chunked.gradients.flat), actual = floats_of(whole.gradients.flat);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 1e-6 * std::max(1.0f, std::abs(expected[i]))) << i;
  }
}

TEST_P(LargeVocabulary, ChunksMakeNoDifference) {
  TinyLlama chunked(config(), dense_pass(3, 100));  // 300 tokens: 128, 128 and 44
  chunked.targets.data<int32_t>()[130] = -1;
  chunked.forward_backward();

  TinyLlama single(config(), dense_pass(1, 100));  // one chunk for each sequence
  for (int64_t b = 0; b < 3; ++b) {
    const int32_t* inputs = chunked.inputs.data<int32_t>() + b * 100;
    const int32_t* targets = chunked.targets.data<int32_t>() + b * 100;
    single.set_batch({inputs, inputs + 100}, {targets, targets + 100});
    single.model.forward(single.stream, single.weights, single.inputs);
    single.model.loss_backward(single.stream, single.weights, single.gradients, single.targets, 1.0 / 300);
    single.model.backward(single.stream, single.weights, single.gradients, single.inputs);
    for (int64_t t = 0; t < 100; ++t) {
      ASSERT_NEAR(chunked.losses()[static_cast<size_t>(b * 100 + t)], single.losses()[static_cast<size_t>(t)], 1e-5);
    }
  }
  const std::vector<float> expected = floats_of(single.gradients.flat);
  const std::vector<float> actual = floats_of(chunked.gradients.flat);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 1e-6 * std::max(1.0f, std::abs(expected[i]))) << i;
  }
}

TEST_P(LargeVocabulary, LossesMatchTheReference) {
  TinyLlama chunked(config(), dense_pass(2, 70));  // 140 tokens: 128 and 12
  const std::vector<float> actual = chunked.evaluate();
  ReferenceLlama reference(chunked.config, 2, 70);
  for (const NamedParameter& parameter : hugging_face_views(chunked.weights, chunked.config)) {
    const std::vector<float> values = floats_of(parameter.tensor);
    reference.weights[parameter.name] = Values(values.begin(), values.end());
  }
  const int32_t* inputs = chunked.inputs.data<int32_t>();
  const int32_t* targets = chunked.targets.data<int32_t>();
  const Values expected = reference.losses({inputs, inputs + 140}, {targets, targets + 140});
  for (size_t t = 0; t < expected.size(); ++t) EXPECT_NEAR(actual[t], expected[t], 1e-4) << t;
}

// 70,400 tokens go through the feed-forward network in two chunks, half of them in one.
TEST(ManyTokens, ChunksOfTheFeedForwardPartMakeNoDifference) {
  ModelConfig config = tiny_config();
  config.num_hidden_layers = 1;
  constexpr int64_t kBatch = 1100, kLength = 64;
  for (const Recompute recompute : {Recompute::kNone, Recompute::kBlock}) {
    PassSettings all = dense_pass(kBatch, kLength), half = dense_pass(kBatch / 2, kLength);
    all.recompute = half.recompute = recompute;
    TinyLlama chunked(config, all), single(config, half);
    chunked.forward_backward();
    const int64_t tokens = kBatch / 2 * kLength;
    for (int64_t part = 0; part < 2; ++part) {
      const int32_t* inputs = chunked.inputs.data<int32_t>() + part * tokens;
      const int32_t* targets = chunked.targets.data<int32_t>() + part * tokens;
      single.set_batch({inputs, inputs + tokens}, {targets, targets + tokens});
      single.model.forward(single.stream, single.weights, single.inputs);
      single.model.loss_backward(single.stream, single.weights, single.gradients, single.targets,
                                 0.5 / static_cast<double>(tokens));
      single.model.backward(single.stream, single.weights, single.gradients, single.inputs);
    }
    const std::vector<float> expected = floats_of(single.gradients.flat), actual = floats_of(chunked.gradients.flat);
    double difference = 0, norm = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      difference += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
      norm += std::pow(static_cast<double>(expected[i]), 2);
    }
    EXPECT_LT(std::sqrt(difference / norm), 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(TiedAndNot, LargeVocabulary, testing::Bool());

}  // namespace
}  // namespace lighthouse
