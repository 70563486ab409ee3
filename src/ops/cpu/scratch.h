// Splits an operation's scratch into the buffers that each thread needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lighthouse/core/tensor.h"

namespace lighthouse::cpu {

/// Returns pieces of scratch one after another. Without memory (nullptr) it only counts: the same code computes the
/// size of the scratch.
class ScratchCutter {
 public:
  explicit ScratchCutter(void* memory) : memory_(static_cast<std::byte*>(memory)) {}

  template <typename T>
  T* take(int64_t count) {
    constexpr int64_t kLine = 64;
    void* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (count * int64_t{sizeof(T)} + kLine - 1) / kLine * kLine;
    return static_cast<T*>(piece);
  }
  int64_t used() const { return used_; }

 private:
  std::byte* memory_;
  int64_t used_ = 0;
};

}  // namespace lighthouse::cpu
