// Attention within documents, and unused tokens.
#include <gtest/gtest.h>

#include <numeric>

#include "tiny_llama.h"

namespace lighthouse {
namespace {

constexpr int32_t kEnd = 7;

PassSettings documents_pass(int64_t length) {
  PassSettings settings = dense_pass(1, length);
  settings.document_end = kEnd;
  return settings;
}

TEST(Documents, EarlierDocumentsHaveNoInfluence) {
  TinyLlama tiny(tiny_config(), documents_pass(40));
  int32_t* inputs = tiny.inputs.data<int32_t>();
  for (int64_t t = 0; t < 40; ++t) inputs[t] = inputs[t] == kEnd ? kEnd + 1 : inputs[t];
  inputs[15] = kEnd;
  const std::vector<float> before = tiny.evaluate();
  for (size_t t = 0; t < 15; ++t) {
    const int32_t token = inputs[t];
    inputs[t] = token == 3 ? 4 : 3;
    const std::vector<float> after = tiny.evaluate();
    inputs[t] = token;
    EXPECT_NE(after[15], before[15]) << "the end of text belongs to the document before it";
    for (size_t j = 16; j < 40; ++j) ASSERT_EQ(after[j], before[j]) << "token " << t << " changed the loss at " << j;
  }
}

TEST(Documents, GradientsDoNotReachOtherDocuments) {
  ModelConfig config = tiny_config();
  TinyLlama tiny(config, documents_pass(24));
  int32_t* inputs = tiny.inputs.data<int32_t>();
  int32_t* targets = tiny.targets.data<int32_t>();
  for (int32_t t = 0; t < 24; ++t) inputs[t] = t < 10 ? 20 : 30;
  inputs[9] = kEnd;
  for (int64_t t = 0; t < 10; ++t) targets[t] = -1;  // only the second document has a loss
  tiny.forward_backward();
  const Tensor& gradient = tiny.gradients.embed_tokens;
  const auto norm_of_row = [&](int64_t row) {
    const float* values = gradient.select(0, row).data<float>();
    return std::inner_product(values, values + gradient.size(1), values, 0.0);
  };
  if (config.tie_word_embeddings) GTEST_SKIP() << "with tied embeddings the output layer adds gradients";
  EXPECT_EQ(norm_of_row(20), 0);
  EXPECT_EQ(norm_of_row(kEnd), 0);
  EXPECT_GT(norm_of_row(30), 0);
}

TEST(UnusedTokens, TakeNoPartInTheLoss) {
  ModelConfig config = tiny_config();
  config.unused_tokens = 5;
  TinyLlama tiny(config, dense_pass(1, 16));
  int32_t* targets = tiny.targets.data<int32_t>();
  const auto used = static_cast<int32_t>(config.token_count());
  for (int64_t t = 0; t < 16; ++t) targets[t] %= used;
  const std::vector<float> before = tiny.evaluate();
  float* head = tiny.weights.lm_head.data<float>();
  for (int64_t i = used * config.hidden_size; i < config.vocab_size * config.hidden_size; ++i) head[i] = 100;
  EXPECT_EQ(tiny.evaluate(), before);
  tiny.forward_backward();
  const float* d_head = tiny.gradients.lm_head.data<float>();
  for (int64_t i = used * config.hidden_size; i < config.vocab_size * config.hidden_size; ++i) ASSERT_EQ(d_head[i], 0);
}

}  // namespace
}  // namespace lighthouse
