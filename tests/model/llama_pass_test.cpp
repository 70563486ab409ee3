// Passes give the same bits in evaluation, with any number of threads, after an abandoned pass, and over shared memory.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "lighthouse/core/error.h"
#include "tiny_llama.h"

namespace lighthouse {
namespace {

PassSettings window_pass(int64_t batch) {
  PassSettings settings = dense_pass(batch, 64);
  settings.kind = AttentionKind::kWindow;
  settings.attention.window = 11;
  return settings;
}

PassSettings lighthouse_with_window(int64_t batch) {
  PassSettings settings = lighthouse_pass(batch);
  settings.attention.lighthouse.window = 5;
  return settings;
}

PassSettings window_then_lighthouse(int64_t batch) {
  PassSettings settings = lighthouse_with_window(batch);
  settings.attention.window = 11;
  settings.attention.lighthouse.window_layers = {0};
  return settings;
}

struct PassKind {
  const char* name;
  PassSettings (*of)(int64_t batch);
};

class LlamaPass : public testing::TestWithParam<PassKind> {
 protected:
  static PassSettings pass(int64_t batch = 2) { return GetParam().of(batch); }
};

TEST_P(LlamaPass, EvaluationGivesTheBitsOfTraining) {
  TinyLlama training(tiny_config(), pass());
  training.forward_backward();
  PassSettings forward_only = pass();
  forward_only.backward = false;
  TinyLlama evaluation(tiny_config(), forward_only);
  EXPECT_EQ(evaluation.evaluate(), training.losses());
  EXPECT_LT(evaluation.arena.used(), training.arena.used());
}

TEST_P(LlamaPass, LossesAreTheSameBitsWithAndWithoutBackward) {
  TinyLlama tiny(tiny_config(), pass());
  const std::vector<float> losses = tiny.evaluate();
  tiny.forward_backward();
  EXPECT_EQ(tiny.losses(), losses);
}

TEST_P(LlamaPass, NumberOfThreadsChangesNoBit) {
  const int before = omp_get_max_threads();
  std::vector<std::vector<float>> losses;
  std::vector<std::vector<float>> gradients;
  for (int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    TinyLlama tiny(tiny_config(), pass());
    tiny.forward_backward();
    losses.push_back(tiny.losses());
    gradients.push_back(floats_of(tiny.gradients.flat));
  }
  omp_set_num_threads(before);
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_EQ(losses[0], losses[2]);
  EXPECT_EQ(gradients[0], gradients[1]);
  EXPECT_EQ(gradients[0], gradients[2]);
}

TEST_P(LlamaPass, AnAbandonedPassChangesNothing) {
  TinyLlama untouched(tiny_config(), pass());
  untouched.forward_backward();
  // Layers 0, 1 in forward and 1, 0 in backward.
  for (int abandon_at = 0; abandon_at < 4; ++abandon_at) {
    TinyLlama tiny(tiny_config(), pass());
    std::vector<int64_t> layers;
    tiny.model.add_hooks({.weights_needed = [&](int64_t layer) {
      layers.push_back(layer);
      if (static_cast<int>(layers.size()) == abandon_at + 1) throw Interrupted(15);
    }});
    const std::vector<float> weights = floats_of(tiny.weights.flat);
    EXPECT_THROW(tiny.forward_backward(), Interrupted);
    EXPECT_EQ(floats_of(tiny.weights.flat), weights);
    tiny.forward_backward();
    const std::vector<int64_t> whole{0, 1, 1, 0};
    ASSERT_EQ(layers.size(), static_cast<size_t>(abandon_at + 1 + 4));
    EXPECT_EQ(std::vector<int64_t>(layers.end() - 4, layers.end()), whole);
    EXPECT_EQ(tiny.losses(), untouched.losses());
    EXPECT_EQ(floats_of(tiny.gradients.flat), floats_of(untouched.gradients.flat));
  }
}

TEST_P(LlamaPass, PaddingOfTheVocabularyGetsNoGradient) {
  TinyLlama tiny(tiny_config(), pass());
  tiny.forward_backward();
  const int64_t v = tiny.config.vocab_size;
  const int64_t padded = tiny.config.padded_vocab_size();
  ASSERT_LT(v, padded);
  for (const Tensor& gradient : {tiny.gradients.lm_head, tiny.gradients.embed_tokens}) {
    for (float g : floats_of(gradient.slice(0, v, padded))) ASSERT_EQ(g, 0);
  }
}

TEST_P(LlamaPass, LogitsMatchTheLosses) {
  TinyLlama tiny(tiny_config(), pass());
  const std::vector<float> losses = tiny.evaluate();
  const int64_t padded = tiny.config.padded_vocab_size();
  std::vector<float> logits(static_cast<size_t>(3 * padded));
  tiny.model.logits(tiny.stream, Tensor(logits.data(), {3, padded}, DType::kFloat32), tiny.weights, 70);
  for (int64_t row = 0; row < 3; ++row) {
    double sum = 0;
    const float* of_row = logits.data() + row * padded;
    for (int64_t i = 0; i < tiny.config.vocab_size; ++i) sum += std::exp(static_cast<double>(of_row[i]));
    const int32_t target = tiny.targets.data<int32_t>()[70 + row];
    EXPECT_NEAR(std::log(sum) - of_row[target], losses[static_cast<size_t>(70 + row)], 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, LlamaPass,
                         testing::Values(PassKind{"dense", [](int64_t batch) { return dense_pass(batch, 64); }},
                                         PassKind{"window", window_pass},
                                         PassKind{"lighthouse", [](int64_t batch) { return lighthouse_pass(batch); }},
                                         PassKind{"lighthouse_with_window", lighthouse_with_window},
                                         PassKind{"window_then_lighthouse", window_then_lighthouse}),
                         [](const auto& kind) { return std::string(kind.param.name); });

/// Two passes laid out over the same memory, with weights of their own.
struct SharedMemory {
  SharedMemory(const PassSettings& a, const PassSettings& b)
      : config(tiny_config()), backend(make_cpu_backend()), first(config, a, *backend), second(config, b, *backend) {
    Arena measuring;
    lay_out(measuring, a);
    arena = Arena(measuring.used());
    lay_out(arena, a);
    randomize(weights, config, 1);
  }

  void lay_out(Arena& in, const PassSettings& pass) {
    weights = lay_out_parameters(in, MemoryUse::kWeights, config);
    gradients = lay_out_parameters(in, MemoryUse::kGradients, config);
    inputs = in.allocate(MemoryUse::kBatch, {pass.batch, pass.sequence_length}, DType::kInt32);
    targets = in.allocate(MemoryUse::kBatch, {pass.batch, pass.sequence_length}, DType::kInt32);
    in.overlay({[&] { first.lay_out(in); }, [&] { second.lay_out(in); }});
  }

  ModelConfig config;
  std::unique_ptr<Backend> backend;
  Llama first, second;
  Arena arena;
  Parameters weights, gradients;
  Tensor inputs, targets;
};

TEST(LlamaOverlay, PassesOverTheSameMemoryDoNotDisturbEachOther) {
  PassSettings dense = dense_pass(2, 64);
  dense.backward = false;
  dense.rope_theta = 500;  // another RoPE table than the Lighthouse pass
  TinyLlama lighthouse_alone(tiny_config(), lighthouse_pass(2));
  TinyLlama dense_alone(tiny_config(), dense);
  lighthouse_alone.forward_backward();
  const std::vector<float> dense_losses = dense_alone.evaluate();

  SharedMemory shared(lighthouse_pass(2), dense);
  ASSERT_LT(shared.arena.used(), lighthouse_alone.arena.used() + dense_alone.arena.used());
  std::copy_n(dense_alone.inputs.data<int32_t>(), 128, shared.inputs.data<int32_t>());
  std::copy_n(dense_alone.targets.data<int32_t>(), 128, shared.targets.data<int32_t>());
  const Stream stream;
  for (int round = 0; round < 3; ++round) {
    shared.first.prepare(stream);
    shared.backend->fill(stream, shared.gradients.flat, 0);
    shared.first.forward(stream, shared.weights, shared.inputs);
    shared.first.loss_backward(stream, shared.weights, shared.gradients, shared.targets, 1.0 / 128);
    shared.first.backward(stream, shared.weights, shared.gradients, shared.inputs);
    EXPECT_EQ(floats_of(shared.first.losses()), lighthouse_alone.losses());
    EXPECT_EQ(floats_of(shared.gradients.flat), floats_of(lighthouse_alone.gradients.flat));

    shared.second.prepare(stream);
    shared.second.forward(stream, shared.weights, shared.inputs);
    shared.second.loss(stream, shared.weights, shared.targets);
    EXPECT_EQ(floats_of(shared.second.losses()), dense_losses);
  }
}

TEST(LlamaWindows, AWindowAsLongAsTheSequenceHasTheBitsOfDense) {
  TinyLlama dense(tiny_config(), dense_pass(2, 64));
  PassSettings wide = window_pass(2);
  wide.attention.window = 64;
  TinyLlama window(tiny_config(), wide);
  ModelConfig config = tiny_config();
  config.sliding_window = 64;
  TinyLlama own(config, dense_pass(2, 64));
  for (TinyLlama* tiny : {&dense, &window, &own}) tiny->forward_backward();
  for (TinyLlama* tiny : {&window, &own}) {
    EXPECT_EQ(tiny->losses(), dense.losses());
    EXPECT_EQ(floats_of(tiny->gradients.flat), floats_of(dense.gradients.flat));
  }
}

TEST(LlamaWindows, SlidingWindowHasTheBitsOfAWindowStep) {
  TinyLlama stage(tiny_config(), window_pass(2));
  ModelConfig config = tiny_config();
  config.sliding_window = 11;
  TinyLlama own(config, dense_pass(2, 64));
  stage.forward_backward();
  own.forward_backward();
  EXPECT_EQ(own.losses(), stage.losses());
  EXPECT_EQ(floats_of(own.gradients.flat), floats_of(stage.gradients.flat));
}

TEST(LlamaSettings, ImpossibleLighthouseSettingsAreRefused) {
  const auto backend = make_cpu_backend();
  PassSettings pass = lighthouse_pass(1);
  pass.sequence_length = 62;
  EXPECT_THROW(Llama(tiny_config(), pass, *backend), InputError);
  ModelConfig config = tiny_config();
  config.num_key_value_heads = 3;
  EXPECT_THROW(Llama(config, dense_pass(1, 16), *backend), InputError);
}

}  // namespace
}  // namespace lighthouse
