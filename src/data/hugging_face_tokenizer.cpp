#include "hugging_face_tokenizer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/byte_level.h"
#include "lighthouse/data/json.h"
#include "piece.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int64_t kMaxTokens = int64_t{1} << 24;  // a larger id means a damaged file

class HuggingFaceTokenizer final : public Tokenizer {
 public:
  explicit HuggingFaceTokenizer(const fs::path& path) : path_(path) {
    const Json json = read_json_file<Json>(path);
    if (!json.is_object() || !json.contains("model") || !json["model"].is_object()) {
      throw refuse("it is not a JSON object with a \"model\"");
    }
    try {
      read(json);
    } catch (const Json::exception& error) {
      throw refuse(fmt::format("{}", error.what()));
    }
  }

  std::string name() const override { return path_.string(); }
  int64_t vocab_size() const override { return std::ssize(pieces_); }
  int32_t end_of_text() const override { return end_of_text_; }
  void encode(std::string_view, std::vector<int32_t>&) const override {
    throw InputError(
        fmt::format("this program can only decode with {}; scripts/prepare_hf.py makes shards with it, and `generate "
                    "--prompt-tokens` takes a prompt as token ids",
                    path_.string()));
  }
  bool requires_utf8() const override { return true; }
  std::string decode(int32_t token) const override {
    return token >= 0 && token < vocab_size() ? pieces_[static_cast<size_t>(token)] : "";
  }

 private:
  InputError refuse(const std::string& why) const {
    return InputError(fmt::format("{} cannot be used: {}", path_.string(), why));
  }

  void read(const Json& json) {
    const Json& vocabulary = json.at("model").at("vocab");
    const bool byte_level = is_byte_level(json);
    const auto decoded = [&](const std::string& piece) {
      return byte_level ? byte_level_bytes(piece) : bytes_of_piece(piece);
    };
    if (vocabulary.is_object()) {
      for (const auto& [piece, id] : vocabulary.items()) place(id.get<int64_t>(), decoded(piece));
    } else {  // Unigram: pairs of piece and score, in the order of their ids
      for (const Json& entry : vocabulary) place(vocab_size(), decoded(entry.at(0).get<std::string>()));
    }
    for (const Json& added : json.value("added_tokens", Json::array())) {
      const auto id = added.at("id").get<int64_t>();
      const bool special = added.value("special", false);
      place(id, special ? "" : added.at("content").get<std::string>());
    }
    find_end_of_text(json);
  }

  static bool is_byte_level(const Json& json) {
    return json.value("decoder", Json()).dump().find("\"ByteLevel\"") != std::string::npos;
  }

  void place(int64_t id, std::string text) {
    if (id < 0 || id >= kMaxTokens)
      throw refuse(fmt::format("a token has the id {}; expected 0 to {}", id, kMaxTokens - 1));
    if (id >= vocab_size()) pieces_.resize(static_cast<size_t>(id) + 1);
    pieces_[static_cast<size_t>(id)] = std::move(text);
  }

  /// Takes end of text from tokenizer_config.json beside the file, else from the usual names. The token may be in the
  /// vocabulary or among the added tokens.
  void find_end_of_text(const Json& json) {
    std::vector<std::string> names;
    const fs::path beside = path_.parent_path() / "tokenizer_config.json";
    if (fs::exists(beside)) {
      const Json config = read_json_file<Json>(beside);
      Json end = config.is_object() ? config.value("eos_token", Json()) : Json();
      if (end.is_object()) end = end.value("content", Json());
      if (end.is_string()) names.push_back(end);
    }
    if (names.empty()) names = {"<|end_of_text|>", "<|endoftext|>", "</s>"};
    for (const std::string& name : names) {
      if (const std::optional<int64_t> id = id_of(json, name)) {
        place(*id, "");
        end_of_text_ = static_cast<int32_t>(*id);
        return;
      }
    }
    throw refuse(fmt::format("it has no end-of-text token (eos_token of tokenizer_config.json{}); looked for {}",
                             names.size() > 1 ? ", which is missing" : "", join(names, ", ")));
  }

  static std::optional<int64_t> id_of(const Json& json, const std::string& name) {
    for (const Json& added : json.value("added_tokens", Json::array())) {
      if (added.at("content") == name) return added.at("id").get<int64_t>();
    }
    const Json& vocabulary = json.at("model").at("vocab");
    if (vocabulary.is_object()) {
      return vocabulary.contains(name) ? std::optional(vocabulary[name].get<int64_t>()) : std::nullopt;
    }
    for (size_t i = 0; i < vocabulary.size(); ++i) {
      if (vocabulary[i].at(0) == name) return static_cast<int64_t>(i);
    }
    return std::nullopt;
  }

  fs::path path_;
  std::vector<std::string> pieces_;
  int32_t end_of_text_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> make_hugging_face_tokenizer(const fs::path& path) {
  return std::make_unique<HuggingFaceTokenizer>(path);
}

}  // namespace lighthouse
