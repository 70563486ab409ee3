// The memory of a run: one allocation, laid out before the first step.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "lighthouse/core/memory.h"
#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// What a piece of memory is for: the rows of the table that `lighthouse plan` prints.
enum class MemoryUse : uint8_t { kWeights, kGradients, kOptimizer, kActivations, kScratch, kBatch };
inline constexpr int kMemoryUses = 6;
std::string_view name_of(MemoryUse use);

/// Hands out views one after another from a single block. The same code lays out a run twice: on a measuring arena,
/// which has no memory and only counts (that is the memory plan), and on a real one. So plan and run cannot differ.
class Arena {
 public:
  static constexpr int64_t kAlignment = 256;  // bytes; what cuBLASLt and cuDNN like best

  /// An arena without memory: its tensors have no address; used() tells what a real one needs.
  Arena() = default;
  /// An arena over `memory`, on its device.
  explicit Arena(Memory memory) : memory_(std::move(memory)) {}
  /// An arena of `bytes` bytes of zeroed host memory. Throws InputError if the system does not give them.
  explicit Arena(int64_t bytes) : Arena(Memory::host(bytes)) {}

  Arena(Arena&&) = default;
  Arena& operator=(Arena&&) = default;

  bool measuring() const { return memory_.address() == nullptr; }

  /// A contiguous tensor. Throws std::logic_error if a real arena is too small: the plan was not made with this code.
  Tensor allocate(MemoryUse use, const Shape& shape, DType dtype = DType::kFloat32);

  /// Runs each of `layouts` from the same place, so that what they lay out shares memory: things that are never in use
  /// together. Afterwards as much is taken as the largest of them wanted.
  void overlay(const std::vector<std::function<void()>>& layouts);

  /// Bytes laid out so far: in all, and for one use (of overlaid layouts the largest counts).
  int64_t used() const { return used_; }
  int64_t used(MemoryUse use) const { return by_use_[static_cast<int>(use)]; }

 private:
  Memory memory_;
  int64_t used_ = 0;
  std::array<int64_t, kMemoryUses> by_use_{};
};

}  // namespace lighthouse
