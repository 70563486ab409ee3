// A run's memory: one allocation, laid out before the first step.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "lighthouse/core/memory.h"
#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// The purpose of a piece of memory. `lighthouse plan` prints one row for each.
enum class MemoryUse : uint8_t { kWeights, kGradients, kOptimizer, kActivations, kScratch, kBatch };
inline constexpr int kMemoryUses = 6;
std::string_view name_of(MemoryUse use);

/// A bump allocator: hands out tensors one after another from a single block, which it owns. The layout code of a run
/// executes twice: on a measuring arena, which has no memory and only counts bytes (the memory plan), and on a real
/// arena. Plan and run therefore cannot differ. Not thread-safe.
class Arena {
 public:
  static constexpr int64_t kAlignment = 256;  // bytes; the alignment that cuBLASLt and cuDNN prefer

  /// A measuring arena: its tensors have a null address, and used() is the size that a real arena needs.
  Arena() = default;
  /// An arena over `memory`, on its device.
  explicit Arena(Memory memory) : memory_(std::move(memory)) {}
  /// An arena over `bytes` bytes of zeroed host memory. Throws InputError if the system cannot provide them.
  explicit Arena(int64_t bytes) : Arena(Memory::host(bytes)) {}

  Arena(Arena&&) = default;
  Arena& operator=(Arena&&) = default;

  bool measuring() const { return memory_.address() == nullptr; }

  /// Returns a contiguous tensor, aligned to kAlignment and valid as long as the arena. Throws std::logic_error if a
  /// real arena is too small, which means that other code made the plan.
  Tensor allocate(MemoryUse use, const Shape& shape, DType dtype = DType::kFloat32);

  /// Runs each of `layouts` from the same offset, so that the layouts share memory. No two of them may be in use at the
  /// same time. Afterwards used() includes the largest of them.
  void overlay(const std::vector<std::function<void()>>& layouts);

  /// Bytes laid out so far: in total, and for one purpose (of overlaid layouts, the largest counts).
  int64_t used() const { return used_; }
  int64_t used(MemoryUse use) const { return by_use_[static_cast<int>(use)]; }

 private:
  Memory memory_;
  int64_t used_ = 0;
  std::array<int64_t, kMemoryUses> by_use_{};
};

}  // namespace lighthouse
