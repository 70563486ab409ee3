// Export of a checkpoint as a Hugging Face folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "lighthouse/core/dtype.h"
#include "lighthouse/hub/import.h"

namespace lighthouse {

struct ExportOptions {
  std::filesystem::path checkpoint;  // a checkpoint, or a run's folder for its newest one
  std::filesystem::path folder;      // output; must not exist or be empty
  std::optional<DType> dtype;        // float32 or bfloat16; unset: each tensor's own type, without loss
  int64_t max_shard_bytes = 5'000'000'000;
  std::string tokenizer;  // replaces the config's tokenizer path; "": as in the config
};

struct ExportResult {
  std::string architecture;  // in transformers, such as "LlamaForCausalLM"
  int64_t files = 0;         // number of files with weights
  int64_t bytes = 0;
  bool tokens_may_differ = false;  // see exported_tokens_may_differ()
};

/// Writes the weights as one safetensors file, or as several of at most max_shard_bytes (or one tensor) with an index,
/// and config.json, generation_config.json and the tokenizer's files. The folder appears whole or not at all. Throws
/// InputError if the checkpoint is damaged, the folder is in use, or a file cannot be written.
ExportResult export_hugging_face(const ExportOptions& options, const CopyProgress& progress = {});

}  // namespace lighthouse
