// The tokenizer that a checkpoint's model was trained with, and what a run's config takes from its own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {

/// The folder of an imported checkpoint that holds its tokenizer's files.
inline constexpr const char* kTokenizerFolder = "tokenizer";

/// The config in a checkpoint's state. If the checkpoint contains its tokenizer, the config names that copy, wherever
/// the checkpoint was moved. Throws InputError if the config cannot be parsed.
RunConfig config_of(const CheckpointState& state, const std::filesystem::path& checkpoint);

/// Loads the tokenizer that the model's config names, or `moved` if it is not empty. Throws InputError if there is no
/// such file, if the tokenizer has more tokens than the model, or if the config's one is not the one that the model was
/// trained with (by its digest).
std::unique_ptr<Tokenizer> load_tokenizer(const CheckpointState& state, const ModelConfig& model,
                                          const std::string& moved);

/// The token that ends a document, if the stage masks attention by document; loads the tokenizer. Throws InputError.
std::optional<int32_t> document_end_of(const RunConfig& config, const StageSection& stage);

/// The config with StageSection::document_end set in each stage that masks attention by document. Loads the tokenizer
/// at most once. Throws InputError.
RunConfig with_document_ends(RunConfig config);

}  // namespace lighthouse
