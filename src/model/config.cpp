#include "lighthouse/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

/// A head size is a multiple of this: 16 bytes of bfloat16, one vector load on a GPU.
constexpr int64_t kHeadGranule = 8;

struct Preset {
  const char* name;
  ModelConfig config;
};

/// The 530M of the Lighthouse Attention paper.
ModelConfig paper_530m() {
  ModelConfig config;
  config.vocab_size = 128256;
  config.hidden_size = 1024;
  config.intermediate_size = 1536;
  config.num_hidden_layers = 30;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 8;
  return config;
}

/// The paper's layers with a vocabulary of bytes.
ModelConfig paper_268m() {
  ModelConfig config = paper_530m();
  config.vocab_size = 257;
  return config;
}

// The published shapes of Llama 3, without its RoPE scaling, which is for models trained on shorter sequences.
ModelConfig llama_3_1_8b() {
  ModelConfig config;
  config.vocab_size = 128256;
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.num_hidden_layers = 32;
  config.num_attention_heads = 32;
  config.num_key_value_heads = 8;
  config.rope_theta = 500000;
  return config;
}

ModelConfig llama_3_2_1b() {
  ModelConfig config = llama_3_1_8b();
  config.hidden_size = 2048;
  config.intermediate_size = 8192;
  config.num_hidden_layers = 16;
  config.tie_word_embeddings = true;
  return config;
}

ModelConfig llama_3_2_3b() {
  ModelConfig config = llama_3_1_8b();
  config.hidden_size = 3072;
  config.intermediate_size = 8192;
  config.num_hidden_layers = 28;
  config.num_attention_heads = 24;
  config.tie_word_embeddings = true;
  return config;
}

std::array<Preset, 6> presets() {
  return {{{"tiny", ModelConfig{}},
           {"paper-268m", paper_268m()},
           {"paper-530m", paper_530m()},
           {"llama-3.2-1b", llama_3_2_1b()},
           {"llama-3.2-3b", llama_3_2_3b()},
           {"llama-3.1-8b", llama_3_1_8b()}}};
}

void check_positive(const ModelConfig& config) {
  const std::array<std::pair<const char*, int64_t>, 6> sizes{{{"vocab_size", config.vocab_size},
                                                              {"hidden_size", config.hidden_size},
                                                              {"intermediate_size", config.intermediate_size},
                                                              {"num_hidden_layers", config.num_hidden_layers},
                                                              {"num_attention_heads", config.num_attention_heads},
                                                              {"num_key_value_heads", config.num_key_value_heads}}};
  for (const auto& [name, size] : sizes) {
    if (size < 1) throw InputError(fmt::format("{} is {}; expected at least 1", name, size));
  }
}

/// "1016 or 1024", the multiples of `step` on both sides of `value`.
std::string nearest_multiples(int64_t value, int64_t step) {
  const int64_t below = value / step * step;
  return below == 0 ? std::to_string(step) : fmt::format("{} or {}", below, below + step);
}

int64_t nearest_divisor(int64_t value, int64_t of) {
  for (int64_t distance = 0;; ++distance) {
    if (value - distance >= 1 && of % (value - distance) == 0) return value - distance;
    if (value + distance <= of && of % (value + distance) == 0) return value + distance;
  }
}

void check_tokens(const ModelConfig& config) {
  if (config.unused_tokens >= 0 && config.unused_tokens < config.vocab_size) return;
  throw InputError(fmt::format("unused_tokens is {}; expected 0 to {}, fewer than vocab_size", config.unused_tokens,
                               config.vocab_size - 1));
}

void check_rope(const RopeScaling& rope) {
  if (rope.kind == RopeScalingKind::kNone) return;
  if (!(rope.factor >= 1)) throw InputError(fmt::format("rope_scaling: factor is {}; expected 1 or more", rope.factor));
  if (rope.kind == RopeScalingKind::kLlama3 && !(rope.low_freq_factor < rope.high_freq_factor)) {
    throw InputError(
        fmt::format("rope_scaling: low_freq_factor is {} and high_freq_factor {}; expected low_freq_factor to be "
                    "smaller",
                    rope.low_freq_factor, rope.high_freq_factor));
  }
}

void check_windows(const ModelConfig& config) {
  if (config.sliding_window < 0) {
    throw InputError(fmt::format("sliding_window is {}; expected at least 1, or 0 for none", config.sliding_window));
  }
  if (config.sliding_window == 0 && !config.full_attention_layers.empty()) {
    throw InputError(
        "full_attention_layers names layers without a sliding window, but sliding_window, its width, is not set");
  }
  for (int64_t layer : config.full_attention_layers) {
    if (layer_index(layer, config.num_hidden_layers) >= 0) continue;
    throw InputError(fmt::format("full_attention_layers names layer {}, but the model has {} layers: 0 to {}", layer,
                                 config.num_hidden_layers, config.num_hidden_layers - 1));
  }
}

}  // namespace

std::vector<int64_t> ModelConfig::sliding_windows() const {
  std::vector<int64_t> windows(static_cast<size_t>(num_hidden_layers), sliding_window);
  for (int64_t layer : full_attention_layers) {
    const int64_t index = layer_index(layer, num_hidden_layers);
    if (index >= 0) windows[static_cast<size_t>(index)] = 0;
  }
  return windows;
}

std::vector<LayerAttention> attention_of_layers(AttentionKind step, const AttentionSettings& settings,
                                                const ModelConfig& model) {
  std::vector<LayerAttention> layers = attention_of_layers(step, settings, model.num_hidden_layers);
  const std::vector<int64_t> windows = model.sliding_windows();
  for (size_t i = 0; i < layers.size(); ++i) {
    if (windows[i] > 0) layers[i] = {AttentionKind::kWindow, windows[i]};
  }
  return layers;
}

void ModelConfig::check() const {
  check_positive(*this);
  check_windows(*this);
  check_tokens(*this);
  check_rope(rope_scaling);
  if (explicit_head_dim < 0 || explicit_head_dim % kHeadGranule != 0) {
    throw InputError(fmt::format("head_dim is {}; expected a multiple of {}: {}", explicit_head_dim, kHeadGranule,
                                 nearest_multiples(std::max<int64_t>(explicit_head_dim, 1), kHeadGranule)));
  }
  if (explicit_head_dim == 0 && (hidden_size % num_attention_heads != 0 || head_dim() % kHeadGranule != 0)) {
    throw InputError(fmt::format(
        "hidden_size {} cannot be split into num_attention_heads {}: each head's size must be a multiple of {}; the "
        "nearest hidden_size that works with {} heads is {}",
        hidden_size, num_attention_heads, kHeadGranule, num_attention_heads,
        nearest_multiples(hidden_size, kHeadGranule * num_attention_heads)));
  }
  if (num_attention_heads % num_key_value_heads != 0) {
    throw InputError(
        fmt::format("num_key_value_heads {} does not divide num_attention_heads {}; the nearest that does is {}",
                    num_key_value_heads, num_attention_heads,
                    nearest_divisor(std::min(num_key_value_heads, num_attention_heads), num_attention_heads)));
  }
}

std::optional<ModelConfig> model_preset(const std::string& name) {
  for (const Preset& preset : presets()) {
    if (name == preset.name) return preset.config;
  }
  return std::nullopt;
}

std::vector<std::string> model_preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.emplace_back(preset.name);
  return names;
}

}  // namespace lighthouse
