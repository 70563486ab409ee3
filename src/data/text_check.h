// UTF-8 validation of a text file, line by line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace lighthouse {

/// Checks a file in consecutive pieces that end at line ends.
class TextCheck {
 public:
  /// `skip`: drop lines that are not UTF-8 instead of throwing.
  TextCheck(std::filesystem::path path, bool skip) : path_(std::move(path)), skip_(skip) {}

  /// Returns `piece`, or a copy without its invalid lines, valid until the next call. Throws InputError with file, line
  /// and byte if invalid lines are not to be dropped.
  std::string_view without_invalid_lines(std::string_view piece);
  int64_t skipped_lines() const { return skipped_; }

 private:
  std::filesystem::path path_;
  bool skip_;
  int64_t line_ = 1;  // number of the next piece's first line
  int64_t skipped_ = 0;
  std::string kept_;
};

}  // namespace lighthouse
