#include "piece.h"

#include <charconv>

namespace lighthouse {

std::string bytes_of_piece(std::string_view piece) {
  if (piece.size() == 6 && piece.starts_with("<0x") && piece.back() == '>') {
    unsigned byte = 0;
    const char* last = piece.data() + 5;
    const auto [end, error] = std::from_chars(piece.data() + 3, last, byte, 16);
    if (error == std::errc() && end == last) return std::string(1, static_cast<char>(byte));
  }
  constexpr std::string_view kSpace = "\xE2\x96\x81";
  std::string text;
  for (size_t space = piece.find(kSpace); space != std::string_view::npos; space = piece.find(kSpace)) {
    text.append(piece.substr(0, space)).push_back(' ');
    piece.remove_prefix(space + kSpace.size());
  }
  return text.append(piece);
}

}  // namespace lighthouse
