#include "lighthouse/core/arena.h"

#include <fmt/format.h>

#include <stdexcept>

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

Tensor Arena::allocate(MemoryUse use, const Shape& shape, DType dtype) {
  const int64_t bytes = (shape.numel() * size_of(dtype) + kAlignment - 1) / kAlignment * kAlignment;
  const int64_t begin = used_;
  used_ += bytes;
  by_use_[static_cast<int>(use)] += bytes;
  if (measuring()) return {nullptr, shape, dtype};
  if (used_ > memory_.bytes()) {
    throw std::logic_error(fmt::format("the arena has {} bytes; the layout needs {}", memory_.bytes(), used_));
  }
  return {memory_.address() + begin, shape, dtype, memory_.device()};
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
