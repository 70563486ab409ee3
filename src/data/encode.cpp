#include "encode.h"

#include <algorithm>
#include <exception>

#include "lighthouse/data/utf8.h"

namespace lighthouse {
namespace {

constexpr size_t kPart = 32 << 10;  // bytes that one thread encodes at a time: what its tokens need stays in its cache

std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t length = text.size() <= kPart ? text.size() : cut_at_line_end(text.substr(0, kPart));
    parts.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return parts;
}

}  // namespace

size_t cut_at_line_end(std::string_view text) {
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
      if (begins && i == 0) {
        tokenizer.encode(parts[i], encoded[i]);
      } else {
        tokenizer.encode_more(parts[i], encoded[i]);
      }
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  for (const auto& part : encoded) tokens.insert(tokens.end(), part.begin(), part.end());
}

}  // namespace lighthouse
