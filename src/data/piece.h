// How SentencePiece spells pieces.
#pragma once

#include <string>
#include <string_view>

namespace lighthouse {

/// The bytes of a piece: "<0x0A>" is one byte, and U+2581 in other pieces is a space.
std::string bytes_of_piece(std::string_view piece);

}  // namespace lighthouse
