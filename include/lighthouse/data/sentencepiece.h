// SentencePiece tokenizers (Kudo and Richardson, 2018), by Google's library. A program that was built without it
// refuses what is here, and says how to build with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

/// Whether this program was built with the library.
bool has_sentencepiece();

/// Of a ".model" file. Its end-of-sentence piece is end of text. Throws InputError if the file is missing or damaged,
/// or has no such piece.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::filesystem::path& path);

/// What other programs must be told of a ".model" file.
struct SentencePieceSettings {
  std::string unknown, begin, end;  // pieces; where none begins a text, that of its end stands for it
  int32_t begin_token = 0, end_token = 0;
  bool adds_space = false;  // before a text
  bool plain_bpe = false;   // byte-pair encoding of the text as it is
};
/// Throws InputError as make_sentencepiece_tokenizer does.
SentencePieceSettings sentencepiece_settings(const std::filesystem::path& path);

enum class SentencePieceKind : uint8_t { kBpe, kUnigram };

struct SentencePieceTraining {
  std::vector<std::filesystem::path> files;  // text
  std::filesystem::path output;              // the model
  int64_t vocab_size = 32000;                // 300 to 1,000,000
  SentencePieceKind kind = SentencePieceKind::kBpe;
  bool skip_broken = false;           // leave out lines that are not UTF-8, which are refused otherwise
  int64_t max_sentences = 2'000'000;  // lines looked at, drawn at random if there are more; 0: all
};

/// Trains a model that loses nothing: text is not normalised, every byte has a piece of its own to fall back to, digits
/// stand alone. Pieces 0, 1 and 2 are unknown, beginning and end of text, as in Llama's. Throws InputError for options
/// out of range, text that is missing or not UTF-8, too little text for such a vocabulary, and for AtomicFile's
/// reasons.
void train_sentencepiece(const SentencePieceTraining& training);

}  // namespace lighthouse
