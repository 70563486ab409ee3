// Expansion of "~" and environment variables in paths.
#pragma once

#include <string>

namespace lighthouse {

/// Expands a leading "~" or "~user", and "$NAME" or "${NAME}" anywhere in the path. Throws InputError for an unknown
/// user, an unset variable, any other "$" or "~" component, and a variable whose value itself starts with "~" or
/// contains "$". The result never names a folder "~" or "$NAME".
std::string expand_path(const std::string& path);

}  // namespace lighthouse
