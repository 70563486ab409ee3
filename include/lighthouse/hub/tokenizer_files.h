// The tokenizer files of a Hugging Face folder.
#pragma once

#include <filesystem>
#include <string>

#include "lighthouse/hub/hugging_face_config.h"

namespace lighthouse {

/// The tokenizer found in a Hugging Face folder.
struct FoundTokenizer {
  bool bytes = false;      // this program's byte tokenizer, exported
  int64_t vocab_size = 0;  // number of tokens, including added ones
};

/// Throws InputError if the folder has no tokenizer, or one that cannot be read.
FoundTokenizer find_tokenizer(const std::filesystem::path& folder);

/// Copies a folder's tokenizer files, generation_config.json and config.json (for the special tokens' ids) to `to`,
/// which is created.
void copy_tokenizer_files(const std::filesystem::path& folder, const std::filesystem::path& to);

/// Writes the files that transformers' AutoTokenizer loads, and generation_config.json, to `to`. `name` is the
/// tokenizer's name in a config. Returns the special tokens for config.json. Throws InputError if a file is missing.
SpecialTokens export_tokenizer(const std::string& name, int64_t max_position_embeddings,
                               const std::filesystem::path& to);

/// Whether other programs may tokenize text differently with the exported files: transformers treats every Llama
/// tokenizer.model as plain byte-pair encoding.
bool exported_tokens_may_differ(const std::string& name);

}  // namespace lighthouse
