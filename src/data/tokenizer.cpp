#include "lighthouse/data/tokenizer.h"

#include <fmt/format.h>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  std::string name() const override { return "bytes"; }
  int64_t vocab_size() const override { return 257; }
  int32_t end_of_text() const override { return 256; }
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    tokens.insert(tokens.end(), bytes, bytes + text.size());
  }
  std::string decode(int32_t token) const override {
    return token >= 0 && token < 256 ? std::string(1, static_cast<char>(token)) : "";
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name) {
  if (name == "bytes") return std::make_unique<ByteTokenizer>();
  throw InputError(fmt::format("there is no tokenizer \"{}\"; there is: bytes", name));
}

}  // namespace lighthouse
