#include "lighthouse/core/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"

namespace lighthouse {

Memory Memory::host(int64_t bytes) {
  const auto length = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    throw InputError(
        fmt::format("cannot allocate {} of host memory; reduce batch.micro_batch_size or "
                    "batch.sequence_length (`lighthouse plan` shows the memory that a run needs)",
                    format_bytes(bytes)));
  }
  // Activations are long and read in order, so ask for huge pages.
  madvise(address, length, MADV_HUGEPAGE);
  return {static_cast<std::byte*>(address), bytes, Device{}, [length](std::byte* begin) { munmap(begin, length); }};
}

}  // namespace lighthouse
