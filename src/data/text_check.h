// Finds the lines of a file that are not text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace lighthouse {

/// Walks through a file in pieces that end at line ends.
class TextCheck {
 public:
  /// `skip`: lines that are not UTF-8 are left out; else they are refused.
  TextCheck(std::filesystem::path path, bool skip) : path_(std::move(path)), skip_(skip) {}

  /// `piece`, or a copy of it without its broken lines, which lives until the next call. Throws InputError naming file,
  /// line and byte.
  std::string_view sound(std::string_view piece);
  int64_t skipped_lines() const { return skipped_; }

 private:
  std::filesystem::path path_;
  bool skip_;
  int64_t line_ = 1;  // the first of the next piece
  int64_t skipped_ = 0;
  std::string kept_;
};

}  // namespace lighthouse
