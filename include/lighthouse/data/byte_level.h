// GPT-2's byte-level alphabet, in which a vocabulary spells each byte as one printable character.
#pragma once

#include <string>
#include <string_view>

namespace lighthouse {

/// The character of a byte, in UTF-8. Printable bytes of Latin-1 are themselves; the others are U+0100 onwards, in
/// order.
std::string byte_level_character(int byte);

/// The bytes of a vocabulary's piece. Characters outside the alphabet are copied.
std::string byte_level_bytes(std::string_view piece);

}  // namespace lighthouse
