// A checkpoint becomes a Hugging Face folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "lighthouse/core/dtype.h"
#include "lighthouse/hub/import.h"

namespace lighthouse {

struct ExportOptions {
  std::filesystem::path checkpoint;  // or a run's folder, for its newest
  std::filesystem::path folder;      // made; must not be there, or be empty
  std::optional<DType> dtype;        // float32 or bfloat16; each tensor's own if not set, which loses nothing
  int64_t max_shard_bytes = 5'000'000'000;
  std::string tokenizer;  // instead of the model's, if that has moved
};

struct ExportResult {
  std::string architecture;  // transformers' name, "LlamaForCausalLM"
  int64_t files = 0;         // of weights
  int64_t bytes = 0;
  bool tokens_may_differ = false;  // exported_tokens_may_differ
};

/// Writes safetensors (one file, or several of at most max_shard_bytes, or of one tensor, with an index), config.json,
/// generation_config.json and the tokenizer's files. The folder appears whole or not at all. Throws InputError if the
/// checkpoint is damaged, the folder is in use, or a file cannot be written.
ExportResult export_hugging_face(const ExportOptions& options, const CopyProgress& progress = {});

}  // namespace lighthouse
