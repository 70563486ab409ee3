#include "lighthouse/hub/hugging_face_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "architecture.h"
#include "key_reader.h"
#include "lighthouse/core/error.h"
#include "lighthouse/data/json.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json read_json(const fs::path& path) {
  Json json = read_json_file<Json>(path);
  if (!json.is_object()) throw InputError(fmt::format("{} is not a JSON object", path.string()));
  return json;
}

void check_parts(const KeyReader& keys) {
  const std::string activation = keys.text("hidden_act", "silu");
  if (activation != "silu") throw keys.refuse(fmt::format("hidden_act is \"{}\"; expected \"silu\"", activation));
  for (const char* bias : {"attention_bias", "mlp_bias"}) {
    if (keys.boolean(bias)) throw keys.refuse(fmt::format("{} is true; this program's layers have no biases", bias));
  }
  if (const double rotated = keys.real("partial_rotary_factor", 1); rotated != 1) {
    throw keys.refuse(fmt::format("partial_rotary_factor is {}; this program rotates whole heads", rotated));
  }
  if (keys.has("quantization_config")) {
    throw keys.refuse(
        "its weights are quantised (quantization_config); this program reads float32, bfloat16 and float16");
  }
}

std::string rope_type_of(const KeyReader& rope) {
  return rope.text("rope_type", rope.text("type", "default"));
}

/// Reads theta and scaling from `rope_parameters`, or from the older keys `rope_theta` and `rope_scaling`.
void read_rope(const KeyReader& keys, const fs::path& path, ModelConfig& model) {
  const std::string place = keys.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const Json parameters = keys.object(place.c_str());
  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (!parameters.contains(layer_type)) continue;
    throw keys.refuse(fmt::format("{} differ for layers of type \"{}\"; this program uses the same RoPE in all layers",
                                  place, layer_type));
  }
  const KeyReader rope(path.string() + ": " + place, parameters);
  model.rope_theta = rope.real("rope_theta", keys.real("rope_theta", 10000));
  const std::string type = rope_type_of(rope);
  const Json older = keys.object("rope_scaling");
  if (!older.empty() && rope_type_of(KeyReader(path, older)) != type) {
    throw keys.refuse("rope_parameters and rope_scaling have different types; remove the wrong one");
  }
  if (type == "default") return;
  RopeScaling& scaling = model.rope_scaling;
  if (type != "linear" && type != "llama3") {
    throw keys.refuse(
        fmt::format("its RoPE scaling ({}) is of type \"{}\"; this program computes linear and llama3", place, type));
  }
  scaling.kind = type == "linear" ? RopeScalingKind::kLinear : RopeScalingKind::kLlama3;
  scaling.factor = rope.real("factor");
  if (scaling.kind == RopeScalingKind::kLinear) return;
  scaling.low_freq_factor = rope.real("low_freq_factor");
  scaling.high_freq_factor = rope.real("high_freq_factor");
  scaling.original_max_position_embeddings = rope.integer("original_max_position_embeddings");
}

Json rope_json(const ModelConfig& model) {
  const RopeScaling& scaling = model.rope_scaling;
  switch (scaling.kind) {
    case RopeScalingKind::kNone:
      return nullptr;
    case RopeScalingKind::kLinear:
      return {{"rope_type", "linear"}, {"type", "linear"}, {"factor", scaling.factor}};
    case RopeScalingKind::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", scaling.factor},
              {"low_freq_factor", scaling.low_freq_factor},
              {"high_freq_factor", scaling.high_freq_factor},
              {"original_max_position_embeddings", scaling.original_max_position_embeddings}};
  }
  return nullptr;
}

}  // namespace

HuggingFaceConfig read_hugging_face_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!fs::exists(path)) {
    throw InputError(fmt::format("{} has no config.json; expected a Hugging Face model's folder", folder.string()));
  }
  const Json json = read_json(path);
  const KeyReader keys(path, json);
  const Architecture& architecture = architecture_of(keys);
  HuggingFaceConfig config;
  ModelConfig& model = config.model;
  model.vocab_size = keys.integer("vocab_size");
  model.hidden_size = keys.integer("hidden_size");
  model.intermediate_size = keys.integer("intermediate_size");
  model.num_hidden_layers = keys.integer("num_hidden_layers");
  model.num_attention_heads = keys.integer("num_attention_heads");
  const bool grouped = architecture.num_key_value_heads > 0 && !keys.names("num_key_value_heads");
  model.num_key_value_heads =
      grouped ? architecture.num_key_value_heads : keys.integer("num_key_value_heads", model.num_attention_heads);
  const int64_t head_dim = keys.integer("head_dim", 0);
  if (head_dim * model.num_attention_heads != model.hidden_size) model.explicit_head_dim = head_dim;
  model.rms_norm_eps = keys.real("rms_norm_eps", 1e-6);
  model.initializer_range = keys.real("initializer_range", 0.02);
  model.tie_word_embeddings = keys.boolean("tie_word_embeddings");
  config.max_position_embeddings = keys.integer("max_position_embeddings", architecture.max_position_embeddings);
  check_parts(keys);
  read_rope(keys, path, model);
  read_windows(keys, architecture, config.max_position_embeddings, model);
  return config;
}

SpecialTokens read_special_tokens(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!fs::exists(path)) return {};
  const Json json = read_json(path);
  const auto of = [&](const char* key) { return json.contains(key) ? json[key].dump() : "null"; };
  return {of("bos_token_id"), of("eos_token_id"), of("pad_token_id")};
}

std::string hugging_face_config_json(const HuggingFaceConfig& config, const SpecialTokens& tokens, DType dtype) {
  const ModelConfig& model = config.model;
  const Architecture& architecture = architecture_for(model);
  nlohmann::json json{{"architectures", nlohmann::json::array({architecture.name})},
                      {"attention_dropout", 0.0},
                      {"bos_token_id", nlohmann::json::parse(tokens.bos)},
                      {"eos_token_id", nlohmann::json::parse(tokens.eos)},
                      {"head_dim", model.head_dim()},
                      {"hidden_act", "silu"},
                      {"hidden_size", model.hidden_size},
                      {"initializer_range", model.initializer_range},
                      {"intermediate_size", model.intermediate_size},
                      {"max_position_embeddings", config.max_position_embeddings},
                      {"model_type", architecture.model_type},
                      {"num_attention_heads", model.num_attention_heads},
                      {"num_hidden_layers", model.num_hidden_layers},
                      {"num_key_value_heads", model.num_key_value_heads},
                      {"pad_token_id", nlohmann::json::parse(tokens.pad)},
                      {"rms_norm_eps", model.rms_norm_eps},
                      {"rope_scaling", rope_json(model)},
                      {"rope_theta", model.rope_theta},
                      {"tie_word_embeddings", model.tie_word_embeddings},
                      {"torch_dtype", name_of(dtype)},
                      {"use_cache", true},
                      {"vocab_size", model.vocab_size}};
  if (!architecture.has_windows) {
    json["attention_bias"] = false;
    json["mlp_bias"] = false;
  }
  write_windows(model, json);
  return json.dump(2) + '\n';
}

std::string generation_config_json(const SpecialTokens& tokens) {
  Json json = Json::object();
  if (tokens.bos != "null") json["bos_token_id"] = Json::parse(tokens.bos);
  if (tokens.eos != "null") json["eos_token_id"] = Json::parse(tokens.eos);
  if (tokens.pad != "null") json["pad_token_id"] = Json::parse(tokens.pad);
  return json.dump(2) + '\n';
}

}  // namespace lighthouse
