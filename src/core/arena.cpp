#include "lighthouse/core/arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"

namespace lighthouse {

std::string_view name_of(MemoryUse use) {
  switch (use) {
    case MemoryUse::kWeights:
      return "weights";
    case MemoryUse::kGradients:
      return "gradients";
    case MemoryUse::kOptimizer:
      return "optimizer state";
    case MemoryUse::kActivations:
      return "kept activations";
    case MemoryUse::kScratch:
      return "scratch";
    case MemoryUse::kBatch:
      return "batches";
  }
  return "?";
}

void Arena::Unmap::operator()(std::byte* address) const {
  munmap(address, static_cast<size_t>(bytes));
}

Arena::Arena(int64_t bytes) : capacity_(std::max<int64_t>(bytes, 1)) {
  void* address = mmap(nullptr, static_cast<size_t>(capacity_), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    throw InputError(
        fmt::format("the system has no {} of memory to give; a smaller batch.micro_batch_size or "
                    "batch.sequence_length needs less (see `lighthouse plan`)",
                    format_bytes(capacity_)));
  }
  // Large pages where the system has them: activations are long and read in order.
  madvise(address, static_cast<size_t>(capacity_), MADV_HUGEPAGE);
  memory_ = {static_cast<std::byte*>(address), Unmap{capacity_}};
}

Tensor Arena::allocate(MemoryUse use, const Shape& shape, DType dtype) {
  const int64_t bytes = (shape.numel() * size_of(dtype) + kAlignment - 1) / kAlignment * kAlignment;
  const int64_t begin = used_;
  used_ += bytes;
  by_use_[static_cast<int>(use)] += bytes;
  if (measuring()) return {nullptr, shape, dtype};
  if (used_ > capacity_) {
    throw std::logic_error(fmt::format("the arena holds {} bytes and {} were laid out", capacity_, used_));
  }
  return {memory_.get() + begin, shape, dtype};
}

void Arena::overlay(const std::vector<std::function<void()>>& layouts) {
  const int64_t begin = used_;
  const auto by_use = by_use_;
  int64_t end = used_;
  auto largest = by_use_;
  for (const auto& lay_out : layouts) {
    used_ = begin;
    by_use_ = by_use;
    lay_out();
    if (used_ <= end) continue;
    end = used_;
    largest = by_use_;
  }
  used_ = end;
  by_use_ = largest;
}

}  // namespace lighthouse
