// The byte tokenizer in the forms that others read.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lighthouse {

inline constexpr const char* kByteEndOfText = "<|endoftext|>";  // token 256

/// tokenizer.json: a byte-level BPE without merges, in which every byte is the token of its number.
nlohmann::ordered_json byte_tokenizer_json();

/// tokenizer.model, the bytes of a SentencePiece model (message ModelProto of sentencepiece_model.proto) that yields
/// the same tokens, but for U+2581, by which SentencePiece spells a space. It is for llama.cpp, whose converter looks
/// for this file first and knows no byte-level BPE but those that it lists. A model must have an unknown piece and
/// pieces for all bytes, 0x20 included; they follow end of text, 257 and 258, and no text yields them.
std::string byte_sentencepiece_model();

}  // namespace lighthouse
