// The tokenizer.json of Hugging Face's `tokenizers`, as far as decoding goes.
#pragma once

#include <filesystem>
#include <memory>

#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

/// Decodes the tokens of byte-level BPE, and of SentencePiece models with byte fallback that were turned into a
/// tokenizer.json. It does not encode: scripts/prepare_hf.py does. Throws InputError if the file is missing or damaged,
/// or is of another kind.
std::unique_ptr<Tokenizer> make_hugging_face_tokenizer(const std::filesystem::path& path);

}  // namespace lighthouse
