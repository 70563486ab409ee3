#include "lighthouse/hub/hugging_face_config.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

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

/// Reads keys of a config.json; every error names the file.
class KeyReader {
 public:
  KeyReader(fs::path path, const Json& json) : path_(std::move(path)), json_(json) {}

  InputError refuse(const std::string& why) const { return InputError(fmt::format("{}: {}", path_.string(), why)); }

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  int64_t integer(const char* key) const {
    if (!has(key)) throw refuse(fmt::format("{} is missing", key));
    const Json& value = json_[key];
    constexpr int64_t kMost = int64_t{1} << 30;  // far above anything sensible, and its products fit 64 bits
    if (value.is_number_integer() && value.get<int64_t>() >= 1 && value.get<int64_t>() <= kMost) return value;
    throw refuse(fmt::format("{} is {}; expected a whole number from 1 to {}", key, value.dump(), kMost));
  }
  int64_t integer(const char* key, int64_t otherwise) const { return has(key) ? integer(key) : otherwise; }

  double real(const char* key) const {
    if (!has(key)) throw refuse(fmt::format("{} is missing", key));
    const Json& value = json_[key];
    if (value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > 0) return value;
    throw refuse(fmt::format("{} is {}; expected a number above 0", key, value.dump()));
  }
  double real(const char* key, double otherwise) const { return has(key) ? real(key) : otherwise; }

  bool boolean(const char* key) const {
    if (!has(key)) return false;
    if (!json_[key].is_boolean()) throw refuse(fmt::format("{} is {}; expected true or false", key, json_[key].dump()));
    return json_[key];
  }

  std::string text(const char* key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_string()) throw refuse(fmt::format("{} is {}; expected a word", key, json_[key].dump()));
    return json_[key];
  }

  /// The object under `key`, or an empty one.
  Json object(const char* key) const {
    if (!has(key)) return Json::object();
    if (!json_[key].is_object()) throw refuse(fmt::format("{} is {}; expected an object", key, json_[key].dump()));
    return json_[key];
  }

 private:
  fs::path path_;
  const Json& json_;
};

void check_architecture(const KeyReader& keys, const Json& json) {
  const std::string type = keys.text("model_type", "");
  const std::string architectures = keys.has("architectures") ? json["architectures"].dump() : "[]";
  if (type != "llama" && (!type.empty() || architectures.find("\"LlamaForCausalLM\"") == std::string::npos)) {
    throw keys.refuse(
        fmt::format("this is a model of type \"{}\" ({}); this program reads \"llama\" "
                    "(LlamaForCausalLM)",
                    type, architectures));
  }
  if (architectures != "[]" && architectures.find("\"LlamaForCausalLM\"") == std::string::npos) {
    throw keys.refuse(
        fmt::format("its architectures are {}; this program reads LlamaForCausalLM, which predicts the "
                    "next token",
                    architectures));
  }
}

void check_parts(const KeyReader& keys, const ModelConfig& model) {
  const std::string activation = keys.text("hidden_act", "silu");
  if (activation != "silu") throw keys.refuse(fmt::format("hidden_act is \"{}\"; expected \"silu\"", activation));
  for (const char* bias : {"attention_bias", "mlp_bias"}) {
    if (keys.boolean(bias)) throw keys.refuse(fmt::format("{} is true; this program's layers have no biases", bias));
  }
  if (const double rotated = keys.real("partial_rotary_factor", 1); rotated != 1) {
    throw keys.refuse(fmt::format("partial_rotary_factor is {}; this program rotates whole heads", rotated));
  }
  if (keys.has("quantization_config")) {
    throw keys.refuse("its weights are quantised (quantization_config); this program reads float32 and bfloat16");
  }
  const int64_t wide = model.hidden_size / model.num_attention_heads;
  const int64_t head_dim = keys.integer("head_dim", wide);
  if (head_dim != wide) {
    throw keys.refuse(fmt::format("head_dim is {}; this program's heads are hidden_size / num_attention_heads wide, {}",
                                  head_dim, wide));
  }
}

std::string rope_type_of(const KeyReader& rope) {
  return rope.text("rope_type", rope.text("type", "default"));
}

/// `json` says theta and scaling under its own names in `rope_parameters`, or in the older `rope_theta`,
/// `rope_scaling`.
void read_rope(const KeyReader& keys, const fs::path& path, ModelConfig& model) {
  const std::string place = keys.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const Json parameters = keys.object(place.c_str());
  const KeyReader rope(path.string() + ": " + place, parameters);
  model.rope_theta = rope.real("rope_theta", keys.real("rope_theta", 10000));
  const std::string type = rope_type_of(rope);
  const Json older = keys.object("rope_scaling");
  if (!older.empty() && rope_type_of(KeyReader(path, older)) != type) {
    throw keys.refuse("rope_parameters and rope_scaling are of different types; remove the wrong one");
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
    throw InputError(
        fmt::format("{} has no config.json; expected the folder of a Hugging Face model", folder.string()));
  }
  const Json json = read_json(path);
  const KeyReader keys(path, json);
  check_architecture(keys, json);
  HuggingFaceConfig config;
  ModelConfig& model = config.model;
  model.vocab_size = keys.integer("vocab_size");
  model.hidden_size = keys.integer("hidden_size");
  model.intermediate_size = keys.integer("intermediate_size");
  model.num_hidden_layers = keys.integer("num_hidden_layers");
  model.num_attention_heads = keys.integer("num_attention_heads");
  model.num_key_value_heads = keys.integer("num_key_value_heads", model.num_attention_heads);
  model.rms_norm_eps = keys.real("rms_norm_eps", 1e-6);
  model.initializer_range = keys.real("initializer_range", 0.02);
  model.tie_word_embeddings = keys.boolean("tie_word_embeddings");
  config.max_position_embeddings = keys.integer("max_position_embeddings", 2048);
  check_parts(keys, model);
  read_rope(keys, path, model);
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
  const Json json{{"architectures", Json::array({"LlamaForCausalLM"})},
                  {"attention_bias", false},
                  {"attention_dropout", 0.0},
                  {"bos_token_id", Json::parse(tokens.bos)},
                  {"eos_token_id", Json::parse(tokens.eos)},
                  {"head_dim", model.head_dim()},
                  {"hidden_act", "silu"},
                  {"hidden_size", model.hidden_size},
                  {"initializer_range", model.initializer_range},
                  {"intermediate_size", model.intermediate_size},
                  {"max_position_embeddings", config.max_position_embeddings},
                  {"mlp_bias", false},
                  {"model_type", "llama"},
                  {"num_attention_heads", model.num_attention_heads},
                  {"num_hidden_layers", model.num_hidden_layers},
                  {"num_key_value_heads", model.num_key_value_heads},
                  {"pad_token_id", Json::parse(tokens.pad)},
                  {"rms_norm_eps", model.rms_norm_eps},
                  {"rope_scaling", rope_json(model)},
                  {"rope_theta", model.rope_theta},
                  {"tie_word_embeddings", model.tie_word_embeddings},
                  {"torch_dtype", name_of(dtype)},
                  {"use_cache", true},
                  {"vocab_size", model.vocab_size}};
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
