#include "lighthouse/data/byte_level.h"

#include <algorithm>
#include <functional>
#include <map>

#include "lighthouse/core/utf8.h"

namespace lighthouse {
namespace {

bool is_printable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

using Alphabet = std::map<std::string, char, std::less<>>;

Alphabet make_alphabet() {
  Alphabet alphabet;
  for (int byte = 0; byte < 256; ++byte) alphabet[byte_level_character(byte)] = static_cast<char>(byte);
  return alphabet;
}

}  // namespace

std::string byte_level_character(int byte) {
  int code = byte;
  if (!is_printable(byte)) {
    code = 256;
    for (int before = 0; before < byte; ++before) code += is_printable(before) ? 0 : 1;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

std::string byte_level_bytes(std::string_view piece) {
  static const Alphabet kAlphabet = make_alphabet();
  std::string bytes;
  while (!piece.empty()) {
    const std::string_view character = piece.substr(0, std::max<size_t>(1, character_length(piece)));
    const auto found = kAlphabet.find(character);
    bytes += found == kAlphabet.end() ? character : std::string_view(&found->second, 1);
    piece.remove_prefix(character.size());
  }
  return bytes;
}

}  // namespace lighthouse
