// What `lighthouse --version` prints.
#pragma once

#include <string>

namespace lighthouse {

/// The commit that was built, as `git describe` names it; "unknown" outside a repository. version.cmake writes the
/// definition.
const char* commit();

/// Version, commit, build type, compiler, and whether the build has CUDA, one on each line.
std::string version_text();

}  // namespace lighthouse
