#include "encode.h"

#include <algorithm>
#include <exception>

#include "lighthouse/core/units.h"
#include "lighthouse/core/utf8.h"

namespace lighthouse {
namespace {

constexpr int64_t kPart = 64 * kKibibyte;  // bytes in one thread's task
constexpr size_t kCall = 256;              // bytes in one call of the tokenizer, whose cost grows faster than linearly

/// Whether text may be cut before `place`: a line ends there, and the next character is neither another line end nor
/// indentation, which some vocabularies join to the line end.
bool is_cut(std::string_view text, size_t place) {
  return place > 0 && text[place - 1] == '\n' &&
         (place == text.size() || (text[place] != '\n' && text[place] != ' ' && text[place] != '\t'));
}

/// The length of the first lines of `text` that together have at least kCall bytes.
size_t lines_of_call(std::string_view text) {
  for (size_t place = kCall; place < text.size(); ++place) {
    place = text.find('\n', place - 1);
    if (place == std::string_view::npos) break;
    if (is_cut(text, ++place)) return place;
  }
  return text.size();
}

std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t length = std::ssize(text) <= kPart ? text.size() : cut_at_line_end(text.substr(0, kPart));
    parts.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return parts;
}

void encode_part(const Tokenizer& tokenizer, std::string_view part, bool begins, std::vector<int32_t>& tokens) {
  while (!part.empty()) {
    const std::string_view lines = part.substr(0, lines_of_call(part));
    if (begins) {
      tokenizer.encode(lines, tokens);
    } else {
      tokenizer.encode_more(lines, tokens);
    }
    begins = false;
    part.remove_prefix(lines.size());
  }
}

}  // namespace

size_t cut_at_line_end(std::string_view text) {
  for (size_t end = text.rfind('\n'); end != std::string_view::npos && end > 0; end = text.rfind('\n', end - 1)) {
    if (end + 1 < text.size() && is_cut(text, end + 1)) return end + 1;
  }
  for (const char end : {'\n', ' '}) {
    const size_t place = text.rfind(end);
    if (place != std::string_view::npos) return end == ' ' && place > 0 ? place : place + 1;  // a space begins a word
  }
  return std::max<size_t>(1, whole_characters(text));
}

void encode_in_parts(const Tokenizer& tokenizer, std::string_view text, bool begins, std::vector<int32_t>& tokens) {
  const std::vector<std::string_view> parts = parts_of(text);
  std::vector<std::vector<int32_t>> encoded(parts.size());
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
  for (size_t i = 0; i < parts.size(); ++i) {
    try {
      encode_part(tokenizer, parts[i], begins && i == 0, encoded[i]);
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  for (const auto& part : encoded) tokens.insert(tokens.end(), part.begin(), part.end());
}

}  // namespace lighthouse
