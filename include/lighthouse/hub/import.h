// A Hugging Face Llama becomes a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "lighthouse/model/config.h"

namespace lighthouse {

struct ImportOptions {
  std::filesystem::path folder;             // config.json, safetensors, tokenizer files
  std::filesystem::path checkpoint;         // made; must not be there
  std::string tokenizer;                    // a name for model.tokenizer; "" for the folder's own
  std::optional<double> rope_theta;         // instead of the model's
  std::optional<RopeScaling> rope_scaling;  // likewise
};

struct ImportResult {
  ModelConfig model;
  int64_t max_position_embeddings = 0;
  int64_t bytes = 0;  // of weights
};

/// Told how many of all bytes are written. May throw to stop.
using CopyProgress = std::function<void(int64_t bytes, int64_t of)>;

/// Makes a checkpoint of weights alone, each tensor's bytes as they are, with the tokenizer's files in `tokenizer/`
/// and, in `model.yaml`, the `model` section and `run.init_from` for a config that trains it further (`extends`). Rows
/// of the vocabulary for which the tokenizer has no token become unused_tokens. Everything is checked before anything
/// is written. Throws InputError: no Llama that this program can have, tensors missing, too many, wrongly shaped or
/// typed, damaged files, a tokenizer with more tokens than the model; and for save_weights_checkpoint's reasons.
ImportResult import_hugging_face(const ImportOptions& options, const CopyProgress& progress = {});

}  // namespace lighthouse
