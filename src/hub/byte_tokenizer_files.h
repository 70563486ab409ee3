// Files by which other programs load the byte tokenizer.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lighthouse {

inline constexpr const char* kByteEndOfText = "<|endoftext|>";  // token 256

/// tokenizer.json: a byte-level BPE without merges, in which each byte is a token with its own number.
nlohmann::ordered_json byte_tokenizer_json();

/// tokenizer.model: a serialized SentencePiece model (message ModelProto of sentencepiece_model.proto) that yields the
/// same tokens, except for U+2581, SentencePiece's space. llama.cpp's converter needs it: the converter looks for this
/// file first and supports only byte-level BPEs on its list. A model must have an unknown piece and pieces for all
/// bytes, including 0x20. These pieces have ids 257 and 258, after end of text, and no text yields them.
std::string byte_sentencepiece_model();

}  // namespace lighthouse
