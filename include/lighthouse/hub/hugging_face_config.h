// config.json of a Hugging Face Llama, Mistral or Ministral, as transformers, vLLM and llama.cpp's converter read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lighthouse/core/dtype.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

struct HuggingFaceConfig {
  ModelConfig model;  // without tokenizer and unused_tokens, of which config.json says nothing
  int64_t max_position_embeddings = 2048;
};

/// Tokens that have a meaning of their own, as JSON: a number, a list of numbers, or "null".
struct SpecialTokens {
  std::string bos = "null";
  std::string eos = "null";
  std::string pad = "null";
};

/// Reads config.json of `folder`. Throws InputError naming file and key: another architecture, or one with parts that
/// this program has not (biases, another activation, heads wider than hidden_size / heads, quantised weights, a RoPE
/// scaling other than linear and llama3, other attention than full and sliding), or keys about windows that contradict
/// each other.
HuggingFaceConfig read_hugging_face_config(const std::filesystem::path& folder);

/// The special tokens that config.json of `folder` names; all "null" if there is no such file.
SpecialTokens read_special_tokens(const std::filesystem::path& folder);

/// The text of a config.json: of a Llama, with windows in all layers of a Mistral, with windows in some of a Ministral.
std::string hugging_face_config_json(const HuggingFaceConfig& config, const SpecialTokens& tokens, DType dtype);
/// The text of a generation_config.json.
std::string generation_config_json(const SpecialTokens& tokens);

}  // namespace lighthouse
