// Encoding of long text by many threads.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

/// Bytes of `text` up to and with its last line end; for text of one line that is cut off, up to its last space, or its
/// last whole character.
size_t cut_at_line_end(std::string_view text);

/// Appends the tokens of `text`, in parts that end at line ends and are encoded side by side. `begins`: whether a
/// document begins here. The tokens do not depend on the number of threads.
void encode_in_parts(const Tokenizer& tokenizer, std::string_view text, bool begins, std::vector<int32_t>& tokens);

}  // namespace lighthouse
