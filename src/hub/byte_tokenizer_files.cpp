#include "byte_tokenizer_files.h"

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

#include "lighthouse/data/byte_level.h"

namespace lighthouse {
namespace {

using Json = nlohmann::ordered_json;

// Protocol buffers: a field is a key (its number and wire type), then a varint, or a length and bytes.

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string number_field(uint32_t field, uint64_t value) {
  return varint(field << 3) + varint(value);
}

std::string bytes_field(uint32_t field, std::string_view bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}

enum class IndexRange { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

std::string piece_field(std::string_view text, IndexRange type) {
  return bytes_field(1, bytes_field(1, text) + number_field(3, static_cast<uint64_t>(type)));
}

std::string byte_piece_field(int byte) {
  return piece_field(fmt::format("<0x{:02X}>", byte), IndexRange::kByte);
}

std::string trainer_field() {
  constexpr uint64_t kBpe = 2;
  std::string fields = number_field(3, kBpe);  // model_type
  fields += number_field(4, 259);              // vocab_size
  fields += number_field(35, 1);               // byte_fallback
  fields += number_field(40, 257);             // unk_id
  fields += number_field(41, 256);             // bos_id
  fields += number_field(42, 256);             // eos_id
  fields += bytes_field(46, kByteEndOfText);   // bos_piece
  fields += bytes_field(47, kByteEndOfText);   // eos_piece
  return bytes_field(2, fields);
}

std::string normalizer_field() {
  std::string fields = bytes_field(1, "identity");
  fields += number_field(3, 0);  // add_dummy_prefix
  fields += number_field(4, 0);  // remove_extra_whitespaces
  fields += number_field(5, 1);  // escape_whitespaces: a space is U+2581
  return bytes_field(3, fields);
}

}  // namespace

nlohmann::ordered_json byte_tokenizer_json() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[byte_level_character(byte)] = byte;
  const Json byte_level{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const Json end{{"id", 256},       {"content", kByteEndOfText}, {"single_word", false}, {"lstrip", false},
                 {"rstrip", false}, {"normalized", false},       {"special", true}};
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

std::string byte_sentencepiece_model() {
  std::string model;
  for (int byte = 0; byte < 256; ++byte) {
    model += byte == ' ' ? piece_field("\u2581", IndexRange::kNormal) : byte_piece_field(byte);
  }
  model += piece_field(kByteEndOfText, IndexRange::kControl);
  model += piece_field("<unk>", IndexRange::kUnknown);
  model += byte_piece_field(' ');
  return model + trainer_field() + normalizer_field();
}

}  // namespace lighthouse
