// Import of a Hugging Face Llama as a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "lighthouse/model/config.h"

namespace lighthouse {

struct ImportOptions {
  std::filesystem::path folder;             // input: config.json, safetensors, tokenizer files
  std::filesystem::path checkpoint;         // output; must not exist
  std::string tokenizer;                    // value of model.tokenizer; "": the folder's tokenizer
  std::optional<double> rope_theta;         // replaces the model's
  std::optional<RopeScaling> rope_scaling;  // replaces the model's
};

struct ImportResult {
  ModelConfig model;
  int64_t max_position_embeddings = 0;
  int64_t bytes = 0;  // of weights
};

/// Called with the number of bytes written so far and in total. May throw to stop.
using CopyProgress = std::function<void(int64_t bytes, int64_t of)>;

/// Makes a checkpoint with weights only, whose bytes are copied unchanged. The checkpoint also has the tokenizer's
/// files in `tokenizer/`, and `model.yaml` with the `model` section and `run.init_from`, for configs that train the
/// model further (`extends`). Rows of the vocabulary without a token become unused_tokens. Checks everything before
/// writing. Throws InputError for a model that this program does not support, for missing, additional or wrong tensors,
/// for damaged files, for a tokenizer with more tokens than the model, and for the reasons of save_weights_checkpoint.
ImportResult import_hugging_face(const ImportOptions& options, const CopyProgress& progress = {});

}  // namespace lighthouse
