#include "architecture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

using Json = KeyReader::Json;

constexpr Architecture kLlama{"llama", "LlamaForCausalLM", false, 2048, 0, 0};
constexpr Architecture kMistral{"mistral", "MistralForCausalLM", true, 131072, 8, 4096};
constexpr Architecture kMinistral{"ministral", "MinistralForCausalLM", true, 131072, 8, 4096};
constexpr std::array<const Architecture*, 3> kArchitectures{&kLlama, &kMistral, &kMinistral};

constexpr const char* kSliding = "sliding_attention";
constexpr const char* kFull = "full_attention";

bool holds(const Json& list, const char* word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// The layers to which `layer_types` gives full attention; none without that key.
std::vector<int64_t> read_full_layers(const KeyReader& keys, int64_t layers) {
  std::vector<int64_t> full;
  if (!keys.has("layer_types")) return full;
  const Json types = keys.list("layer_types");
  if (static_cast<int64_t>(types.size()) != layers) {
    throw keys.refuse(
        fmt::format("layer_types names {} layers; expected {} (num_hidden_layers)", types.size(), layers));
  }
  for (int64_t layer = 0; layer < layers; ++layer) {
    const Json& type = types[static_cast<size_t>(layer)];
    if (type == kFull) full.push_back(layer);
    if (type == kFull || type == kSliding) continue;
    throw keys.refuse(fmt::format("layer_types: layer {} is {}; this program supports \"{}\" and \"{}\"", layer,
                                  type.dump(), kFull, kSliding));
  }
  return full;
}

/// transformers ignores windows in a Llama. Refuses a config.json that asks for one, as Qwen2's does.
void check_without_windows(const KeyReader& keys, int64_t window, int64_t layers) {
  const bool switched_off = keys.has("use_sliding_window") && !keys.boolean("use_sliding_window");
  const bool no_layers = !keys.has("layer_types") && keys.count("max_window_layers", 0) >= layers;
  if (switched_off || no_layers) return;
  throw keys.refuse(fmt::format(
      "sliding_window is {}, which transformers ignores in models of type \"{}\"; for a model with this "
      "window write model_type \"{}\" and architectures [\"{}\"] (with layer_types: \"{}\" and "
      "[\"{}\"]), for one without write sliding_window: null",
      window, kLlama.model_type, kMistral.model_type, kMistral.name, kMinistral.model_type, kMinistral.name));
}

/// transformers ignores Qwen2's keys in a Mistral.
void check_without_switches(const KeyReader& keys, int64_t window) {
  if (keys.has("use_sliding_window") && !keys.boolean("use_sliding_window")) {
    throw keys.refuse(
        fmt::format("use_sliding_window is false, which transformers ignores in models of this type, and "
                    "sliding_window is {}; for a model without windows write sliding_window: null, else remove "
                    "use_sliding_window",
                    window));
  }
  if (!keys.has("layer_types") && keys.count("max_window_layers", 0) > 0) {
    throw keys.refuse(
        fmt::format("max_window_layers is {}, which transformers ignores in models of this type; name the layers with "
                    "sliding_window {} in layer_types, or remove max_window_layers if all layers have it",
                    keys.count("max_window_layers", 0), window));
  }
}

}  // namespace

const Architecture& architecture_of(const KeyReader& keys) {
  const std::string type = keys.text("model_type", "");
  const Json names = keys.list("architectures");
  for (const Architecture* known : kArchitectures) {
    if (type.empty() ? !holds(names, known->name) : type != known->model_type) continue;
    if (names.empty() || holds(names, known->name)) return *known;
    throw keys.refuse(
        fmt::format("its architectures are {}; for type \"{}\" this program reads {}, which predicts the next token",
                    names.dump(), type, known->name));
  }
  throw keys.refuse(
      fmt::format("the model's type is \"{}\" ({}); this program reads \"{}\" ({}), \"{}\" ({}) and "
                  "\"{}\" ({})",
                  type, names.dump(), kLlama.model_type, kLlama.name, kMistral.model_type, kMistral.name,
                  kMinistral.model_type, kMinistral.name));
}

const Architecture& architecture_for(const ModelConfig& model) {
  const std::vector<int64_t> windows = model.sliding_windows();
  const auto full = std::count(windows.begin(), windows.end(), 0);
  if (full == std::ssize(windows)) return kLlama;
  return full == 0 ? kMistral : kMinistral;
}

void read_windows(const KeyReader& keys, const Architecture& architecture, int64_t max_position_embeddings,
                  ModelConfig& model) {
  const int64_t window = keys.names("sliding_window") ? keys.integer("sliding_window", 0) : architecture.sliding_window;
  std::vector<int64_t> full = read_full_layers(keys, model.num_hidden_layers);
  const bool some_slide = std::ssize(full) < model.num_hidden_layers;
  if (window == 0 && some_slide && keys.has("layer_types")) {
    throw keys.refuse(
        fmt::format("layer_types has layers of type \"{}\", but sliding_window, their width, is not set", kSliding));
  }
  if (window == 0 || !some_slide) return;
  const bool matters = window < max_position_embeddings;
  if (matters && !architecture.has_windows) check_without_windows(keys, window, model.num_hidden_layers);
  if (matters && architecture.has_windows) check_without_switches(keys, window);
  if (!architecture.has_windows) return;
  model.sliding_window = window;
  model.full_attention_layers = std::move(full);
}

void write_windows(const ModelConfig& model, nlohmann::json& json) {
  const Architecture& architecture = architecture_for(model);
  if (!architecture.has_windows) return;
  json["sliding_window"] = model.sliding_window;
  if (&architecture == &kMistral) return;
  for (int64_t window : model.sliding_windows()) json["layer_types"].push_back(window > 0 ? kSliding : kFull);
}

}  // namespace lighthouse
