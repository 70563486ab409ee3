#include "lighthouse/hub/tokenizer_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "byte_tokenizer_files.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/data/sentencepiece.h"
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

void write_json(const fs::path& path, const Json& json) {
  write_file(path, json.dump(2) + '\n');
}

bool copy_if_there(const fs::path& from, const fs::path& to) {
  if (!fs::exists(from)) return false;
  write_file(to, read_file(from));
  return true;
}

SpecialTokens export_bytes(int64_t max_position_embeddings, const fs::path& to) {
  write_json(to / "tokenizer.json", byte_tokenizer_json());
  write_file(to / "tokenizer.model", byte_sentencepiece_model());
  write_json(to / kTokenizerConfig, {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                     {kTokenizerMark, "bytes"},
                                     {"add_prefix_space", false},  // llama.cpp's converter reads this key
                                     {"bos_token", kByteEndOfText},
                                     {"eos_token", kByteEndOfText},
                                     {"add_bos_token", false},
                                     {"clean_up_tokenization_spaces", false},
                                     {"model_max_length", max_position_embeddings}});
  write_json(to / "special_tokens_map.json", {{"bos_token", kByteEndOfText}, {"eos_token", kByteEndOfText}});
  return {"256", "256", "null"};
}

SpecialTokens export_sentencepiece(const fs::path& model, int64_t max_position_embeddings, const fs::path& to) {
  const SentencePieceSettings settings = sentencepiece_settings(model);
  write_file(to / "tokenizer.model", read_file(model));
  write_json(to / kTokenizerConfig, {{"tokenizer_class", "LlamaTokenizer"},
                                     {"bos_token", settings.begin},
                                     {"eos_token", settings.end},
                                     {"unk_token", settings.unknown},
                                     {"add_bos_token", false},
                                     {"add_eos_token", false},
                                     {"add_prefix_space", settings.adds_space},
                                     {"legacy", false},
                                     {"clean_up_tokenization_spaces", false},
                                     {"model_max_length", max_position_embeddings}});
  return {std::to_string(settings.begin_token), std::to_string(settings.end_token), "null"};
}

/// Whether make_tokenizer would load a SentencePiece model.
bool is_sentencepiece_file(const fs::path& name) {
  return name != "bytes" && !fs::is_directory(name) && name.extension() != ".json";
}

}  // namespace

FoundTokenizer find_tokenizer(const fs::path& folder) {
  const auto tokenizer = make_tokenizer(folder.string());
  FoundTokenizer found{tokenizer->name() == "bytes", tokenizer->vocab_size()};
  if (found.bytes) return found;
  const fs::path json = folder / "tokenizer.json";  // knows of added tokens, unlike a tokenizer.model beside it
  if (fs::exists(json)) found.vocab_size = std::max(found.vocab_size, make_tokenizer(json.string())->vocab_size());
  return found;
}

void copy_tokenizer_files(const fs::path& folder, const fs::path& to) {
  make_directories(to);
  for (const char* name : kTokenizerFiles) copy_if_there(folder / name, to / name);
  for (const char* name : {kGenerationConfig, "config.json"}) copy_if_there(folder / name, to / name);
}

bool exported_tokens_may_differ(const std::string& name) {
  return is_sentencepiece_file(name) && !sentencepiece_settings(name).plain_bpe;
}

SpecialTokens export_tokenizer(const std::string& name, int64_t max_position_embeddings, const fs::path& to) {
  SpecialTokens tokens;
  if (name == "bytes") {
    tokens = export_bytes(max_position_embeddings, to);
  } else if (is_sentencepiece_file(name)) {
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
