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
  /// Appends the tokens of `text` to `tokens`.
  virtual void encode(std::string_view text, std::vector<int32_t>& tokens) const = 0;
  /// The bytes that a token stands for; "" for end of text and for ids outside the vocabulary.
  virtual std::string decode(int32_t token) const = 0;
};

/// "bytes": token = byte, and 256 for end of text. Throws InputError for a name it does not know.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name);

}  // namespace lighthouse
