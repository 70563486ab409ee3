// Decoding with the tokenizer.json of Hugging Face's `tokenizers`.
#pragma once

#include <filesystem>
#include <memory>

#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

/// Supports byte-level BPE, and SentencePiece models with byte fallback that were converted to tokenizer.json. encode()
/// throws: scripts/prepare_hf.py encodes. Throws InputError if the file is missing or damaged or of another kind.
std::unique_ptr<Tokenizer> make_hugging_face_tokenizer(const std::filesystem::path& path);

}  // namespace lighthouse
