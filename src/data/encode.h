// Multithreaded encoding of long text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

/// The length of `text` up to and including its last line end. For a single line, the length up to its last space or
/// its last whole character.
size_t cut_at_line_end(std::string_view text);

/// Appends the tokens of `text`, cut at line ends into parts that threads encode in parallel. `begins`: whether `text`
/// is the start of a document. The tokens do not depend on the number of threads.
void encode_in_parts(const Tokenizer& tokenizer, std::string_view text, bool begins, std::vector<int32_t>& tokens);

}  // namespace lighthouse
