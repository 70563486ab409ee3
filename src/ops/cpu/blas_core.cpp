#include "lighthouse/ops/blas_core.h"

#include <cblas.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace lighthouse {

#if defined(__x86_64__)

namespace {

enum Generation { kBeforeAvx2, kAvx2, kAvx512 };

Generation supported_generation() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd")) {
    return kAvx512;
  }
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? kAvx2 : kBeforeAvx2;
}

Generation generation_of(std::string_view core_name) {
  for (std::string_view name : {"SkylakeX", "Cooperlake", "SapphireRapids"}) {
    if (core_name == name) return kAvx512;
  }
  for (std::string_view name : {"Haswell", "Zen", "Excavator"}) {
    if (core_name == name) return kAvx2;
  }
  for (std::string_view name :
       {"Prescott",  "Core2",       "Penryn",    "Dunnington",   "Nehalem", "Atom",        "Athlon",  "Opteron",
        "Barcelona", "Bobcat",      "Bulldozer", "Piledriver",   "Nano",    "Steamroller", "Katmai",  "Coppermine",
        "Northwood", "Sandybridge", "Banias",    "Opteron_SSE3", "Unknown", "Generic",     "generic", "unknown"}) {
    if (core_name == name) return kBeforeAvx2;
  }
  return kAvx512;  // a name newer than this list: no restart
}

}  // namespace

void use_fast_blas_kernels(char** argv) {
  constexpr const char* kOnce = "LIGHTHOUSE_BLAS_RESTARTED";  // prevents endless restarts
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr || std::getenv(kOnce) != nullptr) return;
  const Generation supported = supported_generation();
  if (generation_of(openblas_get_corename()) >= supported) return;
  setenv("OPENBLAS_CORETYPE", supported == kAvx512 ? "SkylakeX" : "Haswell", 1);
  setenv(kOnce, "1", 1);
  execv("/proc/self/exe", argv);
  // execv returns only if it fails: the program is then slow, but correct.
}

#else

void use_fast_blas_kernels(char**) {}

#endif

}  // namespace lighthouse
