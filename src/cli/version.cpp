#include "version.h"

#include <fmt/format.h>

namespace lighthouse {

std::string version_text() {
  return fmt::format("lighthouse {}\ncommit: {}\nbuild: {}\ncompiler: {}\nCUDA: {}", LIGHTHOUSE_VERSION, commit(),
                     LIGHTHOUSE_BUILD_TYPE, LIGHTHOUSE_COMPILER, LIGHTHOUSE_CUDA_VERSION);
}

}  // namespace lighthouse
