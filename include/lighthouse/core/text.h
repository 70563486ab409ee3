// Small helpers for messages that people read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lighthouse {

/// "1.50 GiB", "312 MiB", "17 bytes"
std::string format_bytes(int64_t bytes);
/// "98,304"
std::string format_count(int64_t number);
/// "1.2e+12" -> "1.20 T"; for floating-point operations and the like.
std::string format_si(double number);
/// "2 h 05 min", "3 min 07 s", "4.2 s", "281 ms"
std::string format_seconds(double seconds);
/// "5.203 ms": for what is compared, so always in the same unit.
std::string format_milliseconds(double seconds);

/// The word of `candidates` nearest to `word` by edit distance, the first of those equally near; or "" if none is near:
/// two letters may be wrong, or a third of a longer word, but not all of it.
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);

/// The words joined by `separator`.
std::string join(const std::vector<std::string>& words, std::string_view separator);

/// A table in monospaced text: columns padded, numbers to the right, a line below the header.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  void add_row(std::vector<std::string> cells);
  std::string str() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lighthouse
