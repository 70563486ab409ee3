// Paths as people write them.
#pragma once

#include <string>

namespace lighthouse {

/// The path with "~" and "~user" at its beginning, and "$NAME" and "${NAME}" anywhere, replaced by what they stand for.
/// Throws InputError for a user or variable that does not exist, for a "$" or a part "~" that is neither, and if a
/// variable's value has them in turn: no path that comes out names a folder "~" or "$NAME".
std::string expand_path(const std::string& path);

}  // namespace lighthouse
