// How SentencePiece spells what it cuts text into.
#pragma once

#include <string>
#include <string_view>

namespace lighthouse {

/// The bytes that a piece stands for: "<0x0A>" is one byte, and U+2581 in others a space.
std::string bytes_of_piece(std::string_view piece);

}  // namespace lighthouse
