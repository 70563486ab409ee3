#include "safetensors_fuzzer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <numeric>
#include <string>

#include "lighthouse/core/error.h"
#include "lighthouse/io/safetensors.h"

namespace {

/// Bytes in memory that can be opened as a file.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    if (descriptor_ < 0 || write(descriptor_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace

void read_as_safetensors(const uint8_t* data, size_t size) {
  const MemoryFile bytes(data, size);
  try {
    const lighthouse::SafetensorsFile file(bytes.path());
    unsigned sum = 0;
    for (const auto& [name, tensor] : file.tensors()) {
      const auto* first = static_cast<const unsigned char*>(tensor.raw());
      sum = std::accumulate(first, first + tensor.bytes(), sum);
    }
    volatile unsigned kept = sum;  // keeps the compiler from removing the reads
    (void)kept;
  } catch (const lighthouse::InputError&) {
  }
}

#ifdef LIGHTHOUSE_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read_as_safetensors(data, size);
  return 0;
}
#endif
