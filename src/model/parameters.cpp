#include "lighthouse/model/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "lighthouse/core/random.h"

namespace lighthouse {
namespace {

// The same places for every type, so that weights, gradients and moments can be walked side by side.
constexpr int64_t kAlignedElements = Arena::kAlignment / size_of(DType::kBFloat16);

int64_t aligned(int64_t elements) {
  return (elements + kAlignedElements - 1) / kAlignedElements * kAlignedElements;
}

/// The list, but for places in memory.
class Lister {
 public:
  explicit Lister(const ModelConfig& config) : config_(config) {}

  std::vector<ParameterSpec> list() {
    const int64_t layers = config_.num_hidden_layers;
    const int64_t c = config_.hidden_size;
    const double deviation = config_.initializer_range;
    const Shape table{config_.padded_vocab_size(), c};
    add({&Parameters::embed_tokens, nullptr, -1, table, 0, deviation},
        {{"model.embed_tokens.weight", 0, config_.vocab_size}});
    for (int64_t layer = 0; layer < layers; ++layer) add_layer(layer);
    add({&Parameters::norm, nullptr, layers, {c}, 1, 0}, {{"model.norm.weight", 0, c}});
    if (!config_.tie_word_embeddings) {
      add({&Parameters::lm_head, nullptr, layers, table, 0, deviation}, {{"lm_head.weight", 0, config_.vocab_size}});
    }
    return std::move(specs_);
  }

 private:
  void add_layer(int64_t layer) {
    const int64_t c = config_.hidden_size;
    const int64_t f = config_.intermediate_size;
    const int64_t q = config_.num_attention_heads * config_.head_dim();
    const int64_t kv = config_.num_key_value_heads * config_.head_dim();
    const double deviation = config_.initializer_range;
    const double residual = deviation / std::sqrt(2.0 * static_cast<double>(config_.num_hidden_layers));
    using L = LayerParameters;
    add_to(layer, &L::input_layernorm, {c}, 1, 0, {{"input_layernorm", 0, c}});
    add_to(layer, &L::qkv, {q + 2 * kv, c}, 0, deviation,
           {{"self_attn.q_proj", 0, q}, {"self_attn.k_proj", q, q + kv}, {"self_attn.v_proj", q + kv, q + 2 * kv}});
    add_to(layer, &L::o_proj, {c, q}, 0, residual, {{"self_attn.o_proj", 0, c}});
    add_to(layer, &L::post_attention_layernorm, {c}, 1, 0, {{"post_attention_layernorm", 0, c}});
    add_to(layer, &L::gate_up, {2 * f, c}, 0, deviation, {{"mlp.gate_proj", 0, f}, {"mlp.up_proj", f, 2 * f}});
    add_to(layer, &L::down_proj, {c, f}, 0, residual, {{"mlp.down_proj", 0, c}});
  }

  void add_to(int64_t layer, Tensor LayerParameters::*member, const Shape& shape, double mean, double deviation,
              std::vector<NamedRows> names) {
    for (NamedRows& rows : names) rows.name = fmt::format("model.layers.{}.{}.weight", layer, rows.name);
    add({nullptr, member, layer, shape, mean, deviation}, std::move(names));
  }

  void add(ParameterSpec spec, std::vector<NamedRows> names) {
    spec.names = std::move(names);
    specs_.push_back(std::move(spec));
  }

  const ModelConfig& config_;
  std::vector<ParameterSpec> specs_;
};

Tensor& member_of(Parameters& parameters, const ParameterSpec& spec) {
  return const_cast<Tensor&>(spec.of(parameters));
}

/// Calls `visit` with each tensor that has a name, and what is said of it.
template <typename Visit>
void for_each_name(const Parameters& parameters, const ModelConfig& config, const Visit& visit) {
  for (const ParameterSpec& spec : parameter_specs(config)) {
    for (const NamedRows& rows : spec.names) visit(rows.name, spec.of(parameters).slice(0, rows.begin, rows.end), spec);
  }
}

}  // namespace

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config) {
  std::vector<ParameterSpec> specs = Lister(config).list();
  int64_t begin = 0;
  for (const bool matrices : {true, false}) {  // all vectors come after all matrices
    for (ParameterSpec& spec : specs) {
      if (spec.is_matrix() != matrices) continue;
      spec.begin = begin;
      begin += aligned(spec.shape.numel());
      spec.end = begin;
    }
  }
  return specs;
}

Parameters lay_out_parameters(Arena& arena, MemoryUse use, const ModelConfig& config, DType dtype) {
  const std::vector<ParameterSpec> specs = parameter_specs(config);
  int64_t total = 0;
  int64_t matrices = 0;
  for (const ParameterSpec& spec : specs) {
    total = std::max(total, spec.end);
    if (spec.is_matrix()) matrices = std::max(matrices, spec.end);
  }
  Parameters parameters;
  parameters.layers.resize(static_cast<size_t>(config.num_hidden_layers));
  parameters.flat = arena.allocate(use, {total}, dtype);
  parameters.matrices = parameters.flat.slice(0, 0, matrices);
  parameters.vectors = parameters.flat.slice(0, matrices, total);
  for (const ParameterSpec& spec : specs) {
    member_of(parameters, spec) =
        parameters.flat.slice(0, spec.begin, spec.begin + spec.shape.numel()).view(spec.shape);
  }
  if (config.tie_word_embeddings) parameters.lm_head = parameters.embed_tokens;
  return parameters;
}

std::vector<NamedParameter> hugging_face_views(const Parameters& parameters, const ModelConfig& config) {
  std::vector<NamedParameter> named;
  for_each_name(parameters, config, [&](const std::string& name, const Tensor& tensor, const ParameterSpec&) {
    named.push_back({name, tensor});
  });
  return named;
}

void initialize(const Parameters& weights, const ModelConfig& config, uint64_t seed) {
  for_each_name(weights, config, [&](const std::string& name, const Tensor& tensor, const ParameterSpec& spec) {
    float* values = tensor.data<float>();
    const int64_t numel = tensor.numel();
    if (spec.deviation == 0) {
      std::fill_n(values, numel, static_cast<float>(spec.mean));
      return;
    }
    const RandomStream stream(seed, name);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < numel; ++i) {
      values[i] = static_cast<float>(spec.mean + spec.deviation * stream.normal(static_cast<uint64_t>(i)));
    }
  });
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
