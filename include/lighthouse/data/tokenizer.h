// Text to tokens and back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lighthouse {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;
  /// Tokens 0 ... vocab_size() - 1 exist.
  virtual int64_t vocab_size() const = 0;
  /// The token that `prepare` writes between documents.
  virtual int32_t end_of_text() const = 0;
  /// What a text of nothing begins with: end of text, where there is no token of its own for it.
  virtual int32_t begin_of_text() const { return end_of_text(); }
  /// Appends the tokens of `text`, a document or its beginning, to `tokens`. May be called by many threads at once.
  /// Throws InputError if it can only decode.
  virtual void encode(std::string_view text, std::vector<int32_t>& tokens) const = 0;
  /// The same for what goes on after text that was encoded before; they are cut apart at a line's end.
  virtual void encode_more(std::string_view text, std::vector<int32_t>& tokens) const { encode(text, tokens); }
  /// Whether text must be sound UTF-8, cut apart at the ends of lines: of a tokenizer whose tokens are not bytes.
  virtual bool takes_text_alone() const { return false; }
  /// The bytes that a token stands for; "" for end of text and for ids outside the vocabulary.
  virtual std::string decode(int32_t token) const = 0;
};

/// The key in a tokenizer_config.json that says which of this program's own tokenizers the folder holds: "bytes".
inline constexpr const char* kTokenizerMark = "lighthouse_tokenizer";

/// "bytes": token = byte, and 256 for end of text. "x.model": a SentencePiece model. A Hugging Face folder: bytes, if
/// it is marked so; its tokenizer.model; or else its tokenizer.json, which may also be named itself; that one can only
/// decode. Throws InputError for a name it does not know, for a file that is missing or damaged, and for a
/// SentencePiece model if this program was built without the library.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name);

/// What tells a tokenizer from others: a checksum of the file that make_tokenizer reads, or "bytes". Throws InputError.
std::string tokenizer_digest(const std::string& name);

/// Whether the name is that of a file or folder, there or not.
bool tokenizer_is_a_file(const std::string& name);
/// Whether it is, and is not there.
bool tokenizer_is_missing(const std::string& name);

}  // namespace lighthouse
