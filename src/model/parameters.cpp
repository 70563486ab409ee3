#include "lighthouse/model/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lighthouse/core/random.h"

namespace lighthouse {
namespace {

// The same places for every type, so that weights, gradients and moments can be walked side by side.
constexpr int64_t kAlignedElements = Arena::kAlignment / size_of(DType::kBFloat16);

/// Calls `visit` for each fused matrix and its shape, in the order of memory.
template <typename Visit>
void for_each_matrix(Parameters& parameters, const ModelConfig& config, const Visit& visit) {
  const int64_t c = config.hidden_size;
  const int64_t f = config.intermediate_size;
  visit(parameters.embed_tokens, Shape{config.padded_vocab_size(), c});
  for (LayerParameters& layer : parameters.layers) {
    visit(layer.qkv, Shape{config.qkv_size(), c});
    visit(layer.o_proj, Shape{c, config.num_attention_heads * config.head_dim()});
    visit(layer.gate_up, Shape{2 * f, c});
    visit(layer.down_proj, Shape{c, f});
  }
  if (!config.tie_word_embeddings) visit(parameters.lm_head, Shape{config.padded_vocab_size(), c});
}

/// The same for the vectors, which come after all matrices.
template <typename Visit>
void for_each_vector(Parameters& parameters, const ModelConfig& config, const Visit& visit) {
  const Shape shape{config.hidden_size};
  for (LayerParameters& layer : parameters.layers) {
    visit(layer.input_layernorm, shape);
    visit(layer.post_attention_layernorm, shape);
  }
  visit(parameters.norm, shape);
}

int64_t aligned(int64_t elements) {
  return (elements + kAlignedElements - 1) / kAlignedElements * kAlignedElements;
}

}  // namespace

Parameters lay_out_parameters(Arena& arena, MemoryUse use, const ModelConfig& config, DType dtype) {
  Parameters parameters;
  parameters.layers.resize(static_cast<size_t>(config.num_hidden_layers));
  int64_t total = 0;
  const auto count = [&](Tensor&, const Shape& shape) { total += aligned(shape.numel()); };
  for_each_matrix(parameters, config, count);
  const int64_t matrices = total;
  for_each_vector(parameters, config, count);
  parameters.flat = arena.allocate(use, {total}, dtype);
  parameters.matrices = parameters.flat.slice(0, 0, matrices);
  parameters.vectors = parameters.flat.slice(0, matrices, total);
  int64_t begin = 0;
  const auto place = [&](Tensor& tensor, const Shape& shape) {
    tensor = parameters.flat.slice(0, begin, begin + shape.numel()).view(shape);
    begin += aligned(shape.numel());
  };
  for_each_matrix(parameters, config, place);
  for_each_vector(parameters, config, place);
  if (config.tie_word_embeddings) parameters.lm_head = parameters.embed_tokens;
  return parameters;
}

std::vector<NamedParameter> hugging_face_views(const Parameters& parameters, const ModelConfig& config) {
  const int64_t q = config.num_attention_heads * config.head_dim();
  const int64_t kv = config.num_key_value_heads * config.head_dim();
  const int64_t f = config.intermediate_size;
  std::vector<NamedParameter> named;
  named.push_back({"model.embed_tokens.weight", parameters.embed_tokens.slice(0, 0, config.vocab_size)});
  for (size_t i = 0; i < parameters.layers.size(); ++i) {
    const LayerParameters& layer = parameters.layers[i];
    const auto add = [&](const char* name, const Tensor& tensor) {
      named.push_back({fmt::format("model.layers.{}.{}.weight", i, name), tensor});
    };
    add("input_layernorm", layer.input_layernorm);
    add("self_attn.q_proj", layer.qkv.slice(0, 0, q));
    add("self_attn.k_proj", layer.qkv.slice(0, q, q + kv));
    add("self_attn.v_proj", layer.qkv.slice(0, q + kv, q + 2 * kv));
    add("self_attn.o_proj", layer.o_proj);
    add("post_attention_layernorm", layer.post_attention_layernorm);
    add("mlp.gate_proj", layer.gate_up.slice(0, 0, f));
    add("mlp.up_proj", layer.gate_up.slice(0, f, 2 * f));
    add("mlp.down_proj", layer.down_proj);
  }
  named.push_back({"model.norm.weight", parameters.norm});
  if (!config.tie_word_embeddings) {
    named.push_back({"lm_head.weight", parameters.lm_head.slice(0, 0, config.vocab_size)});
  }
  return named;
}

void initialize(const Parameters& weights, const ModelConfig& config, uint64_t seed) {
  const double residual_scale = 1 / std::sqrt(2.0 * static_cast<double>(config.num_hidden_layers));
  for (const NamedParameter& parameter : hugging_face_views(weights, config)) {
    float* values = parameter.tensor.data<float>();
    const int64_t numel = parameter.tensor.numel();
    if (parameter.tensor.rank() == 1) {
      std::fill_n(values, numel, 1.0f);
      continue;
    }
    const bool residual = parameter.name.ends_with("o_proj.weight") || parameter.name.ends_with("down_proj.weight");
    const double deviation = config.initializer_range * (residual ? residual_scale : 1);
    const RandomStream stream(seed, parameter.name);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < numel; ++i) {
      values[i] = static_cast<float>(deviation * stream.normal(static_cast<uint64_t>(i)));
    }
  }
}

int64_t parameter_count(const ModelConfig& config) {
  Arena measuring;
  int64_t count = 0;
  for (const auto& named : hugging_face_views(lay_out_parameters(measuring, MemoryUse::kWeights, config), config)) {
    count += named.tensor.numel();
  }
  return count;
}

}  // namespace lighthouse
