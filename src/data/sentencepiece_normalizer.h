// What a serialized SentencePiece model says about the text that it is given.
#pragma once

#include <string_view>

namespace lighthouse {

/// Whether text reaches the pieces as it is, but for a space at its beginning: no character is replaced, no space
/// removed. False also if the model cannot be read.
bool keeps_text(std::string_view model);

/// Whether it joins pieces as byte-pair encoding does. False also if the model cannot be read.
bool is_bpe(std::string_view model);

}  // namespace lighthouse
