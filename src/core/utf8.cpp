#include "lighthouse/core/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace lighthouse {
namespace {

/// What may follow a lead byte: the number of continuation bytes, and the range of the first of them.
struct Lead {
  std::size_t following = 0;  // 0: not a lead byte
  unsigned char least = 0x80;
  unsigned char most = 0xBF;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0xC2 || byte > 0xF4) return {};
  if (byte < 0xE0) return {1};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte < 0xF0) return {2};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {3};
}

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

}  // namespace

std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return 1;
  const Lead lead = lead_of(byte(0));
  if (lead.following == 0 || lead.following >= text.size()) return 0;
  if (byte(1) < lead.least || byte(1) > lead.most) return 0;
  for (std::size_t i = 2; i <= lead.following; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  return lead.following + 1;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::size_t first_invalid_utf8(std::string_view text) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  std::size_t place = 0;
  while (place < text.size()) {
    uint64_t eight = 0;
    if (text.size() - place >= sizeof(eight)) {
      std::memcpy(&eight, text.data() + place, sizeof(eight));
      if ((eight & kHighBits) == 0) {
        place += sizeof(eight);
        continue;
      }
    }
    const std::size_t length = character_length(text.substr(place));
    if (length == 0) return place;
    place += length;
  }
  return std::string_view::npos;
}

std::size_t whole_characters(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const char byte = text[text.size() - back];
    if (is_continuation(byte)) continue;
    return lead_of(static_cast<unsigned char>(byte)).following >= back ? text.size() - back : text.size();
  }
  return text.size();
}

}  // namespace lighthouse
