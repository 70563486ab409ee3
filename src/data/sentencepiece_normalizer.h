// Settings of a serialized SentencePiece model that its library does not report.
#pragma once

#include <string_view>

namespace lighthouse {

/// Whether the model encodes text unchanged, except for a space at its start: no character is replaced and no space
/// removed. False also if the model cannot be parsed.
bool keeps_text(std::string_view model);

/// Whether the model uses byte-pair encoding. False also if the model cannot be parsed.
bool is_bpe(std::string_view model);

}  // namespace lighthouse
