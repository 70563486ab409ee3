#include "text_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "lighthouse/core/error.h"
#include "lighthouse/core/utf8.h"

namespace lighthouse {

std::string_view TextCheck::without_invalid_lines(std::string_view piece) {
  size_t invalid = first_invalid_utf8(piece);
  if (invalid == std::string_view::npos) {
    line_ += std::count(piece.begin(), piece.end(), '\n');
    return piece;
  }
  kept_.clear();
  while (invalid != std::string_view::npos) {
    const size_t last_end = piece.substr(0, invalid).rfind('\n');
    const size_t begin = last_end == std::string_view::npos ? 0 : last_end + 1;
    const size_t end = std::min(piece.find('\n', invalid), piece.size() - 1) + 1;
    line_ += std::count(piece.begin(), piece.begin() + static_cast<ptrdiff_t>(begin), '\n');
    if (!skip_) {
      throw InputError(
          fmt::format("{}, line {}: byte {} of the line, 0x{:02X}, is not UTF-8, which every tokenizer but bytes "
                      "requires; --skip-broken drops such lines",
                      path_.string(), line_, invalid - begin + 1, static_cast<unsigned char>(piece[invalid])));
    }
    ++skipped_;
    ++line_;
    kept_ += piece.substr(0, begin);
    piece.remove_prefix(end);
    invalid = first_invalid_utf8(piece);
  }
  line_ += std::count(piece.begin(), piece.end(), '\n');
  kept_ += piece;
  return kept_;
}

}  // namespace lighthouse
