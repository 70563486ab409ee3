// The tokenizer's files of a Hugging Face folder.
#pragma once

#include <filesystem>
#include <string>

#include "lighthouse/hub/hugging_face_config.h"

namespace lighthouse {

/// What import finds in a Hugging Face folder.
struct FoundTokenizer {
  bool bytes = false;      // it is this program's byte tokenizer, exported
  int64_t vocab_size = 0;  // tokens that exist, added ones included
};

/// Throws InputError if the folder holds no tokenizer, or one that cannot be read.
FoundTokenizer find_tokenizer(const std::filesystem::path& folder);

/// Copies a folder's tokenizer files, generation_config.json and config.json (for the numbers of special tokens) to
/// `to`, which is made.
void copy_tokenizer_files(const std::filesystem::path& folder, const std::filesystem::path& to);

/// Writes into `to` what transformers' AutoTokenizer loads for a tokenizer by its name in a config, and
/// generation_config.json. Returns the special tokens for config.json. Throws InputError if a file is missing.
SpecialTokens export_tokenizer(const std::string& name, int64_t max_position_embeddings,
                               const std::filesystem::path& to);

/// Whether other programs may make other tokens of a text with what export_tokenizer writes: transformers takes the
/// tokenizer.model of a Llama for plain byte-pair encoding, whatever it is.
bool exported_tokens_may_differ(const std::string& name);

}  // namespace lighthouse
