#include "cpu_backend.h"

#include <cblas.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string_view>

#include "blas.h"

namespace lighthouse {
namespace cpu {
namespace {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

constexpr std::string_view compiled_for() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__x86_64__)
  return "SSE2";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "no vector instructions";
#endif
}

/// The memory limit of this process's control group.
int64_t cgroup_limit() {
  std::ifstream file("/sys/fs/cgroup/memory.max");
  int64_t limit = 0;
  return file >> limit ? limit : INT64_MAX;  // "max": no limit
}

}  // namespace

CpuBackend::CpuBackend() {
  use_one_blas_thread();
}

std::string CpuBackend::description() const {
  return fmt::format("{}; compiled for {}; {} with {} kernels", processor_name(), compiled_for(), openblas_get_config(),
                     openblas_get_corename());
}

Hardware CpuBackend::hardware() const {
  const int64_t physical = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return {processor_name(), std::min(physical, cgroup_limit())};
}

int64_t CpuBackend::memory_in_use() const {
  std::ifstream file("/proc/self/statm");  // pages: total, resident
  int64_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend() {
  return std::make_unique<cpu::CpuBackend>();
}

}  // namespace lighthouse
