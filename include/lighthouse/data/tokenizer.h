// Conversion between text and tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lighthouse {

/// The interface of all tokenizers. Threads may call the members of one object at the same time.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;
  /// Valid tokens are 0 ... vocab_size() - 1.
  virtual int64_t vocab_size() const = 0;
  /// The token that `prepare` writes between documents.
  virtual int32_t end_of_text() const = 0;
  /// The token that starts a text without a prompt: end of text, unless the tokenizer has a token for the beginning.
  virtual int32_t begin_of_text() const { return end_of_text(); }
  /// Appends the tokens of `text`, a document or its beginning, to `tokens`. Throws InputError if the tokenizer can
  /// only decode.
  virtual void encode(std::string_view text, std::vector<int32_t>& tokens) const = 0;
  /// The same for text that continues text encoded before. The two must be separated at a line end.
  virtual void encode_more(std::string_view text, std::vector<int32_t>& tokens) const { encode(text, tokens); }
  /// Whether text must be valid UTF-8 and be split only at line ends. True for every tokenizer but bytes.
  virtual bool requires_utf8() const { return false; }
  /// The bytes of a token; "" for end of text and for ids outside the vocabulary.
  virtual std::string decode(int32_t token) const = 0;
};

/// The key in tokenizer_config.json by which an exported folder names this program's own tokenizer: "bytes".
inline constexpr const char* kTokenizerMark = "lighthouse_tokenizer";

/// Makes a tokenizer by name. "bytes": each byte is a token, and 256 is end of text. "x.model": a SentencePiece model.
/// A Hugging Face folder: the byte tokenizer if the folder is marked so (kTokenizerMark), else its tokenizer.model,
/// else its tokenizer.json. A tokenizer.json can also be named itself; it can only decode. Throws InputError for an
/// unknown name, for a file that is missing or damaged, and for a SentencePiece model in a program built without the
/// library.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name);

/// Identifies a tokenizer: the checksum of the file that make_tokenizer reads, or "bytes". Throws InputError.
std::string tokenizer_digest(const std::string& name);

/// Whether the name denotes a file or folder, which need not exist.
bool tokenizer_is_a_file(const std::string& name);
/// Whether the name denotes a file or folder that does not exist.
bool tokenizer_is_missing(const std::string& name);

}  // namespace lighthouse
