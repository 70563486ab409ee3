#include "lighthouse/model/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "lighthouse/core/random.h"

namespace lighthouse {
namespace {

// Aligned for the smallest type, so that weights, gradients and moments have the same places in their flat vectors.
constexpr int64_t kAlignedElements = Arena::kAlignment / size_of(DType::kBFloat16);

int64_t aligned(int64_t elements) {
  return (elements + kAlignedElements - 1) / kAlignedElements * kAlignedElements;
}

/// Rows of a parameter (of a vector: elements) with a name of their own.
struct NamedRows {
  std::string name;
  int64_t rows = 0;
};

/// Makes the table, except for places in the flat vector.
class TableMaker {
 public:
  explicit TableMaker(const ModelConfig& config) : config_(config) {}

  std::vector<ParameterSpec> make() {
    const int64_t layers = config_.num_hidden_layers;
    const int64_t c = config_.hidden_size;
    const int64_t v = config_.vocab_size;
    const double deviation = config_.initializer_range;
    const Shape table{config_.padded_vocab_size(), c};
    add({&Parameters::embed_tokens, nullptr, -1, table, 0, deviation}, {{"model.embed_tokens.weight", v}});
    for (int64_t layer = 0; layer < layers; ++layer) add_layer(layer);
    add({&Parameters::norm, nullptr, layers, {c}, 1, 0}, {{"model.norm.weight", c}});
    if (!config_.tie_word_embeddings) {
      add({&Parameters::lm_head, nullptr, layers, table, 0, deviation}, {{"lm_head.weight", v}});
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
    add_to(layer, &L::input_layernorm, {c}, 1, 0, {{"input_layernorm", c}});
    add_to(layer, &L::qkv, {q + 2 * kv, c}, 0, deviation,
           {{"self_attn.q_proj", q}, {"self_attn.k_proj", kv}, {"self_attn.v_proj", kv}});
    add_to(layer, &L::o_proj, {c, q}, 0, residual, {{"self_attn.o_proj", c}});
    add_to(layer, &L::post_attention_layernorm, {c}, 1, 0, {{"post_attention_layernorm", c}});
    add_to(layer, &L::gate_up, {2 * f, c}, 0, deviation, {{"mlp.gate_proj", f}, {"mlp.up_proj", f}});
    add_to(layer, &L::down_proj, {c, f}, 0, residual, {{"mlp.down_proj", c}});
  }

  void add_to(int64_t layer, Tensor LayerParameters::*member, const Shape& shape, double mean, double deviation,
              std::vector<NamedRows> parts) {
    for (NamedRows& part : parts) part.name = fmt::format("model.layers.{}.{}.weight", layer, part.name);
    add({nullptr, member, layer, shape, mean, deviation}, parts);
  }

  void add(ParameterSpec spec, const std::vector<NamedRows>& parts) {
    spec.weight_decay = spec.shape.rank() > 1;
    int64_t begin = 0;
    for (const auto& [name, rows] : parts) {
      const Shape shape = spec.weight_decay ? Shape{rows, spec.shape[1]} : Shape{rows};
      spec.tensors.push_back({name, shape, begin});
      begin += shape.numel();
    }
    specs_.push_back(std::move(spec));
  }

  const ModelConfig& config_;
  std::vector<ParameterSpec> specs_;
};

Tensor& member_of(Parameters& parameters, const ParameterSpec& spec) {
  return spec.inside ? parameters.layers[static_cast<size_t>(spec.layer)].*spec.inside : parameters.*spec.outside;
}

Tensor view_of(const Parameters& parameters, const HuggingFaceTensor& tensor) {
  return parameters.flat.slice(0, tensor.begin, tensor.begin + tensor.shape.numel()).view(tensor.shape);
}

}  // namespace

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config) {
  std::vector<ParameterSpec> specs = TableMaker(config).make();
  int64_t begin = 0;
  for (const bool weight_decay : {true, false}) {
    for (ParameterSpec& spec : specs) {
      if (spec.weight_decay != weight_decay) continue;
      spec.begin = begin;
      for (HuggingFaceTensor& tensor : spec.tensors) tensor.begin += begin;
      begin += aligned(spec.shape.numel());
      spec.end = begin;
    }
  }
  return specs;
}

std::vector<HuggingFaceTensor> hugging_face_tensors(const ModelConfig& config) {
  std::vector<HuggingFaceTensor> tensors;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    tensors.insert(tensors.end(), spec.tensors.begin(), spec.tensors.end());
  }
  return tensors;
}

Parameters lay_out_parameters(Arena& arena, MemoryUse use, const ModelConfig& config, DType dtype) {
  const std::vector<ParameterSpec> specs = parameter_specs(config);
  int64_t total = 0;
  int64_t matrices = 0;
  for (const ParameterSpec& spec : specs) {
    total = std::max(total, spec.end);
    if (spec.weight_decay) matrices = std::max(matrices, spec.end);
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
  std::vector<NamedParameter> views;
  for (const HuggingFaceTensor& tensor : hugging_face_tensors(config)) {
    views.push_back({tensor.name, view_of(parameters, tensor)});
  }
  return views;
}

namespace {

void initialize_tensor(const Tensor& tensor, const ParameterSpec& spec, const RandomStream& random) {
  float* values = tensor.data<float>();
  const int64_t numel = tensor.numel();
  if (spec.deviation == 0) {
    std::fill_n(values, numel, static_cast<float>(spec.mean));
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < numel; ++i) {
    values[i] = static_cast<float>(spec.mean + spec.deviation * random.normal(static_cast<uint64_t>(i)));
  }
}

}  // namespace

void initialize(const Parameters& weights, const ModelConfig& config, uint64_t seed) {
  for (const ParameterSpec& spec : parameter_specs(config)) {
    for (const HuggingFaceTensor& tensor : spec.tensors) {
      initialize_tensor(view_of(weights, tensor), spec, RandomStream(seed, tensor.name));
    }
  }
}

int64_t parameter_count(const ModelConfig& config) {
  int64_t count = 0;
  for (const HuggingFaceTensor& tensor : hugging_face_tensors(config)) count += tensor.shape.numel();
  return count;
}

}  // namespace lighthouse
