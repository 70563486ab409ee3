// The tokenizer that a checkpoint's model was trained with.
#pragma once

#include <memory>
#include <string>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {

/// The folder of an imported checkpoint that holds its tokenizer's files.
inline constexpr const char* kTokenizerFolder = "tokenizer";

/// The config in a checkpoint's state. A tokenizer that lies in the checkpoint is found there, wherever the checkpoint
/// was moved. Throws InputError.
RunConfig config_of(const CheckpointState& state, const std::filesystem::path& checkpoint);

/// The tokenizer that the model's config names, or `moved` if that is not "": the place that the user says it has moved
/// to, or another that is to be taken for it. Throws InputError if it is not there, has more tokens than the model, or
/// (the config's) is not the one that the model was trained with, by its digest.
std::unique_ptr<Tokenizer> load_tokenizer(const CheckpointState& state, const ModelConfig& model,
                                          const std::string& moved);

}  // namespace lighthouse
