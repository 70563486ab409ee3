// Formatting of numbers, names and tables for messages.
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
/// "1.20 T" for 1.2e12: floating-point operations and other large quantities.
std::string format_si(double number);
/// "2 h 05 min", "3 min 07 s", "4.2 s", "281 ms"
std::string format_seconds(double seconds);
/// "5.203 ms". The unit is fixed, so that values can be compared.
std::string format_milliseconds(double seconds);

/// The candidate nearest to `word` by edit distance, the first among equals; "" if none is near. Near means at most two
/// edits, or a third of a longer word's length, and fewer edits than the word has letters.
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);

/// Joins the words with `separator`.
std::string join(const std::vector<std::string>& words, std::string_view separator);

/// Lists the first three names: "a, b, c and 7 more".
std::string join_some(const std::vector<std::string>& names);

/// A table in monospaced text: padded columns, the first flush left and the others flush right, a rule below the
/// header.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  void add_row(std::vector<std::string> cells);
  std::string str() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lighthouse
