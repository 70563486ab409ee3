// A small Llama with its memory, random weights and a random batch.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "lighthouse/model/llama.h"
#include "model/one_thread.h"

namespace lighthouse {

inline ModelConfig tiny_config() {
  ModelConfig config;
  config.vocab_size = 50;
  config.hidden_size = 32;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  return config;
}

// noinline avoids a false warning of g++ 12 about uninitialized settings.
[[gnu::noinline]] inline PassSettings dense_pass(int64_t batch, int64_t length) {
  PassSettings settings;
  settings.batch = batch;
  settings.sequence_length = length;
  return settings;
}

/// 64 tokens, three levels with pooling factor 2, top_k 8 in tiles of 4: 48 gathered rows.
[[gnu::noinline]] inline PassSettings lighthouse_pass(int64_t batch, bool cover_prefix = true) {
  PassSettings settings = dense_pass(batch, 64);
  settings.kind = AttentionKind::kLighthouse;
  settings.attention.lighthouse.levels = 3;
  settings.attention.lighthouse.pooling_factor = 2;
  settings.attention.lighthouse.top_k = 8;
  settings.attention.lighthouse.tile = 4;
  settings.attention.lighthouse.cover_prefix = cover_prefix;
  settings.attention.lighthouse.dense_layers = {};
  return settings;
}

inline std::vector<int32_t> random_tokens(int64_t count, int64_t vocab_size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocab_size)));
  }
  return tokens;
}

inline std::vector<float> floats_of(const Tensor& tensor) {
  return {tensor.data<float>(), tensor.data<float>() + tensor.numel()};
}

/// Weights large enough for every part of the model to matter; norms near 1.
inline void randomize(const Parameters& weights, const ModelConfig& config, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (const NamedParameter& parameter : hugging_face_views(weights, config)) {
    const bool norm = parameter.tensor.rank() == 1;
    for (int64_t i = 0; i < parameter.tensor.numel(); ++i) {
      parameter.tensor.data<float>()[i] = norm ? 1 + 0.2f * normal(random) : 0.3f * normal(random);
    }
  }
}

struct TinyLlama {
  TinyLlama(const ModelConfig& model_config, const PassSettings& pass, uint32_t seed = 1)
      : config(model_config), settings(pass), backend(make_cpu_backend()), model(config, settings, *backend) {
    Arena measuring;
    lay_out(measuring);
    arena = Arena(measuring.used());
    lay_out(arena);
    model.prepare(stream);
    randomize(weights, config, seed);
    set_batch(random_tokens(tokens(), config.vocab_size, seed + 1),
              random_tokens(tokens(), config.vocab_size, seed + 2));
  }

  void lay_out(Arena& in) {
    weights = lay_out_parameters(in, MemoryUse::kWeights, config);
    gradients = lay_out_parameters(in, MemoryUse::kGradients, config);
    inputs = in.allocate(MemoryUse::kBatch, {settings.batch, settings.sequence_length}, DType::kInt32);
    targets = in.allocate(MemoryUse::kBatch, {settings.batch, settings.sequence_length}, DType::kInt32);
    model.lay_out(in);
  }

  int64_t tokens() const { return settings.batch * settings.sequence_length; }

  void set_batch(const std::vector<int32_t>& new_inputs, const std::vector<int32_t>& new_targets) {
    std::copy(new_inputs.begin(), new_inputs.end(), inputs.data<int32_t>());
    std::copy(new_targets.begin(), new_targets.end(), targets.data<int32_t>());
  }

  /// A micro-batch whose mean loss is differentiated; gradients start at 0.
  void forward_backward() {
    backend->fill(stream, gradients.flat, 0);
    model.forward(stream, weights, inputs);
    model.loss_backward(stream, weights, gradients, targets, 1.0 / static_cast<double>(tokens()));
    model.backward(stream, weights, gradients, inputs);
  }

  std::vector<float> evaluate() {
    model.forward(stream, weights, inputs);
    model.loss(stream, weights, targets);
    return losses();
  }

  std::vector<float> losses() const { return floats_of(model.losses()); }

  ModelConfig config;
  PassSettings settings;
  std::unique_ptr<Backend> backend;
  Stream stream;
  Llama model;
  Arena arena;
  Parameters weights;
  Parameters gradients;
  Tensor inputs;
  Tensor targets;
};

}  // namespace lighthouse
