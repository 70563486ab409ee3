#include "lighthouse/hub/tokenizer_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/data/tokenizer.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 9> kTokenizerFiles{
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json",     "merges.txt",      "chat_template.jinja",   "chat_template.json"};
constexpr const char* kGenerationConfig = "generation_config.json";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kEndOfText = "<|endoftext|>";
constexpr const char* kMark = "lighthouse_tokenizer";  // in tokenizer_config.json: which of ours it is

void write_json(const fs::path& path, const Json& json) {
  write_file(path, json.dump(2) + '\n');
}

bool copy_if_there(const fs::path& from, const fs::path& to) {
  if (!fs::exists(from)) return false;
  write_file(to, read_file(from));
  return true;
}

/// The character by which GPT-2's alphabet spells a byte, in UTF-8: printable ones by themselves, the others by those
/// from U+0100 on in their order.
std::string spelled(int byte) {
  const auto printable = [](int b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

/// A byte-level BPE without merges: every byte is the token of its number.
Json byte_tokenizer_json() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[spelled(byte)] = byte;
  const Json byte_level{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const Json end{{"id", 256},       {"content", kEndOfText}, {"single_word", false}, {"lstrip", false},
                 {"rstrip", false}, {"normalized", false},   {"special", true}};
  const Json model{{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false},
                   {"vocab", vocabulary},
                   {"merges", Json::array()}};
  return {{"version", "1.0"},          {"truncation", nullptr}, {"padding", nullptr},
          {"added_tokens", {end}},     {"normalizer", nullptr}, {"pre_tokenizer", byte_level},
          {"post_processor", nullptr}, {"decoder", byte_level}, {"model", model}};
}

SpecialTokens export_bytes(int64_t max_position_embeddings, const fs::path& to) {
  write_json(to / "tokenizer.json", byte_tokenizer_json());
  write_json(to / kTokenizerConfig, {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                     {kMark, "bytes"},
                                     {"bos_token", kEndOfText},
                                     {"eos_token", kEndOfText},
                                     {"add_bos_token", false},
                                     {"clean_up_tokenization_spaces", false},
                                     {"model_max_length", max_position_embeddings}});
  write_json(to / "special_tokens_map.json", {{"bos_token", kEndOfText}, {"eos_token", kEndOfText}});
  return {"256", "256", "null"};
}

SpecialTokens export_sentencepiece(const fs::path& model, int64_t max_position_embeddings, const fs::path& to) {
  const auto tokenizer = make_tokenizer(model.string());
  write_file(to / "tokenizer.model", read_file(model));
  write_json(to / kTokenizerConfig, {{"tokenizer_class", "LlamaTokenizer"},
                                     {"bos_token", "<s>"},
                                     {"eos_token", "</s>"},
                                     {"unk_token", "<unk>"},
                                     {"add_bos_token", false},
                                     {"add_eos_token", false},
                                     {"add_prefix_space", false},
                                     {"legacy", false},
                                     {"clean_up_tokenization_spaces", false},
                                     {"model_max_length", max_position_embeddings}});
  return {std::to_string(tokenizer->begin_of_text()), std::to_string(tokenizer->end_of_text()), "null"};
}

}  // namespace

FoundTokenizer find_tokenizer(const fs::path& folder) {
  FoundTokenizer found;
  if (fs::exists(folder / kTokenizerConfig)) {
    const Json config = Json::parse(read_file(folder / kTokenizerConfig), nullptr, false);
    found.bytes = config.is_object() && config.value(kMark, Json()) == "bytes";
  }
  if (found.bytes) {
    found.vocab_size = make_tokenizer("bytes")->vocab_size();
    return found;
  }
  found.vocab_size = make_tokenizer(folder.string())->vocab_size();
  const fs::path json = folder / "tokenizer.json";  // beside a tokenizer.model, it knows of added tokens
  if (fs::exists(json)) found.vocab_size = std::max(found.vocab_size, make_tokenizer(json.string())->vocab_size());
  return found;
}

void copy_tokenizer_files(const fs::path& folder, const fs::path& to) {
  make_directories(to);
  for (const char* name : kTokenizerFiles) copy_if_there(folder / name, to / name);
  for (const char* name : {kGenerationConfig, "config.json"}) copy_if_there(folder / name, to / name);
}

SpecialTokens export_tokenizer(const std::string& name, int64_t max_position_embeddings, const fs::path& to) {
  if (tokenizer_is_missing(name)) {
    throw InputError(
        fmt::format("the model's tokenizer, {}, is not there; --tokenizer names the place to which it has "
                    "moved",
                    name));
  }
  SpecialTokens tokens;
  if (name == "bytes") {
    tokens = export_bytes(max_position_embeddings, to);
  } else if (fs::path(name).extension() == ".model") {
    tokens = export_sentencepiece(name, max_position_embeddings, to);
  } else {
    const fs::path folder = fs::is_directory(name) ? fs::path(name) : fs::path(name).parent_path();
    for (const char* file : kTokenizerFiles) copy_if_there(folder / file, to / file);
    tokens = read_special_tokens(folder);
    if (tokens.eos == "null") tokens.eos = std::to_string(make_tokenizer(name)->end_of_text());
    if (copy_if_there(folder / kGenerationConfig, to / kGenerationConfig)) return tokens;
  }
  write_file(to / kGenerationConfig, generation_config_json(tokens));
  return tokens;
}

}  // namespace lighthouse
