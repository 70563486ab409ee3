// UTF-8: validation and character boundaries.
#pragma once

#include <cstddef>
#include <string_view>

namespace lighthouse {

/// The offset of the first byte that is not part of well-formed UTF-8 (the Unicode Standard, table 3-7), or npos.
/// Overlong forms, surrogates, code points above U+10FFFF and a character cut off at the end are not well-formed.
std::size_t first_invalid_utf8(std::string_view text);

/// The number of leading bytes that form whole characters: all of `text`, or all but a character that is cut off at the
/// end.
std::size_t whole_characters(std::string_view text);

/// The number of bytes of the first character of `text`, which must not be empty; 0 if it is not well-formed.
std::size_t character_length(std::string_view text);

/// The number of characters in well-formed `text`.
std::size_t count_characters(std::string_view text);

}  // namespace lighthouse
