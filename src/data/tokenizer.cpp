#include "lighthouse/data/tokenizer.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "hugging_face_tokenizer.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/core/error.h"
#include "lighthouse/data/json.h"
#include "lighthouse/data/sentencepiece.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

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

bool names_a_file(const std::string& name) {
  return name.ends_with(".model") || name.ends_with(".json") || name.find('/') != std::string::npos || fs::exists(name);
}

bool is_marked_bytes(const fs::path& folder) {
  const fs::path path = folder / "tokenizer_config.json";
  if (!fs::exists(path)) return false;
  const auto config = read_json_file<nlohmann::json>(path);
  return config.is_object() && config.value(kTokenizerMark, nlohmann::json()) == "bytes";
}

std::unique_ptr<Tokenizer> make_tokenizer_of_folder(const fs::path& folder) {
  if (is_marked_bytes(folder)) return std::make_unique<ByteTokenizer>();
  const bool json = fs::exists(folder / "tokenizer.json");
  if (fs::exists(folder / "tokenizer.model") && (has_sentencepiece() || !json)) {
    return make_sentencepiece_tokenizer(folder / "tokenizer.model");
  }
  if (json) return make_hugging_face_tokenizer(folder / "tokenizer.json");
  throw InputError(fmt::format("the folder {} has neither tokenizer.model nor tokenizer.json", folder.string()));
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name) {
  if (name == "bytes") return std::make_unique<ByteTokenizer>();
  if (!names_a_file(name)) {
    throw InputError(
        fmt::format("unknown tokenizer \"{}\"; expected bytes, a SentencePiece model (a file "
                    "ending in .model), a Hugging Face folder or its tokenizer.json",
                    name));
  }
  if (fs::is_directory(name)) return make_tokenizer_of_folder(name);
  if (fs::path(name).extension() == ".json") return make_hugging_face_tokenizer(name);
  return make_sentencepiece_tokenizer(name);
}

std::string tokenizer_digest(const std::string& name) {
  if (name == "bytes" || is_marked_bytes(name)) return "bytes";
  if (!fs::is_directory(name)) return checksum_of_file(name);
  const fs::path model = fs::path(name) / "tokenizer.model";
  return checksum_of_file(fs::exists(model) ? model : fs::path(name) / "tokenizer.json");
}

bool tokenizer_is_a_file(const std::string& name) {
  return name != "bytes" && names_a_file(name);
}

bool tokenizer_is_missing(const std::string& name) {
  return tokenizer_is_a_file(name) && !fs::exists(name);
}

}  // namespace lighthouse
