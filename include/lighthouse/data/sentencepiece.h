// SentencePiece tokenizers (Kudo and Richardson, 2018), through Google's library. In a program built without the
// library all functions but has_sentencepiece() throw InputError, with how to build with it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

/// Whether this program was built with the library.
bool has_sentencepiece();

/// Loads a ".model" file. Its end-of-sentence piece serves as end of text. Throws InputError if the file is missing or
/// damaged or has no such piece.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::filesystem::path& path);

/// The settings of a ".model" file that a Hugging Face folder must repeat.
struct SentencePieceSettings {
  std::string unknown, begin, end;  // pieces; `begin` is `end` if the model has no beginning-of-text piece
  int32_t begin_token = 0, end_token = 0;
  bool adds_space = false;  // at the start of a text
  bool plain_bpe = false;   // byte-pair encoding without normalisation of the text
};
/// Throws InputError for the reasons of make_sentencepiece_tokenizer.
SentencePieceSettings sentencepiece_settings(const std::filesystem::path& path);

enum class SentencePieceKind : uint8_t { kBpe, kUnigram };

struct SentencePieceTraining {
  std::vector<std::filesystem::path> files;  // text
  std::filesystem::path output;              // path of the model to write
  int64_t vocab_size = 32000;                // 300 to 1,000,000
  SentencePieceKind kind = SentencePieceKind::kBpe;
  bool skip_broken = false;           // drop lines that are not UTF-8 instead of refusing them
  int64_t max_sentences = 2'000'000;  // lines used, sampled at random if there are more; 0: all
};

/// Trains a lossless model: text is not normalised, every byte has a piece to fall back to, digits are split. Pieces 0,
/// 1 and 2 are unknown, beginning and end of text, as in Llama's tokenizer. Throws InputError for options out of range,
/// for text that is missing, not UTF-8 or too short for the vocabulary, and for the reasons of AtomicFile.
void train_sentencepiece(const SentencePieceTraining& training);

}  // namespace lighthouse
