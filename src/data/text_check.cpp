#include "text_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "lighthouse/core/error.h"
#include "lighthouse/data/utf8.h"

namespace lighthouse {

std::string_view TextCheck::sound(std::string_view piece) {
  size_t broken = first_broken_utf8(piece);
  if (broken == std::string_view::npos) {
    line_ += std::count(piece.begin(), piece.end(), '\n');
    return piece;
  }
  kept_.clear();
  while (broken != std::string_view::npos) {
    const size_t last_end = piece.substr(0, broken).rfind('\n');
    const size_t begin = last_end == std::string_view::npos ? 0 : last_end + 1;
    const size_t end = std::min(piece.find('\n', broken), piece.size() - 1) + 1;
    line_ += std::count(piece.begin(), piece.begin() + static_cast<ptrdiff_t>(begin), '\n');
    if (!skip_) {
      throw InputError(
          fmt::format("{}, line {}: byte {} of the line, 0x{:02X}, is not UTF-8, and tokenizers other than bytes take "
                      "text alone; --skip-broken leaves such lines out",
                      path_.string(), line_, broken - begin + 1, static_cast<unsigned char>(piece[broken])));
    }
    ++skipped_;
    ++line_;
    kept_ += piece.substr(0, begin);
    piece.remove_prefix(end);
    broken = first_broken_utf8(piece);
  }
  line_ += std::count(piece.begin(), piece.end(), '\n');
  kept_ += piece;
  return kept_;
}

}  // namespace lighthouse
