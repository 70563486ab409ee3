// Checks that text is text.
#pragma once

#include <cstddef>
#include <string_view>

namespace lighthouse {

/// The place of the first byte that is no part of sound UTF-8 (the Unicode Standard, table 3-7: neither overlong forms
/// nor surrogates nor what lies above U+10FFFF), or npos if all is sound. A character cut off at the end is not sound.
std::size_t first_broken_utf8(std::string_view text);

/// How many bytes of `text` make whole characters: all, or all but a character that is cut off at the end.
std::size_t whole_characters(std::string_view text);

}  // namespace lighthouse
