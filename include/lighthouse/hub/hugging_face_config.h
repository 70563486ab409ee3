// Reading and writing of config.json for Llama, Mistral and Ministral models, as transformers, vLLM and llama.cpp's
// converter read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lighthouse/core/dtype.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

struct HuggingFaceConfig {
  ModelConfig model;  // without tokenizer and unused_tokens, which config.json lacks
  int64_t max_position_embeddings = 2048;
};

/// Special tokens as JSON: an id, a list of ids, or "null".
struct SpecialTokens {
  std::string bos = "null";
  std::string eos = "null";
  std::string pad = "null";
};

/// Reads config.json of `folder`. Throws InputError with file and key for another architecture, for parts that this
/// program does not support (biases, another activation, quantised weights, a
/// RoPE scaling other than linear and llama3, attention other than full and sliding), and for contradictory keys about
/// windows.
HuggingFaceConfig read_hugging_face_config(const std::filesystem::path& folder);

/// The special tokens in config.json of `folder`; all "null" if there is no such file.
SpecialTokens read_special_tokens(const std::filesystem::path& folder);

/// The text of a config.json: for a Llama, for a Mistral if all layers have windows, for a Ministral if some have.
std::string hugging_face_config_json(const HuggingFaceConfig& config, const SpecialTokens& tokens, DType dtype);
/// The text of a generation_config.json.
std::string generation_config_json(const SpecialTokens& tokens);

}  // namespace lighthouse
