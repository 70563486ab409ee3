// Splits an operation's scratch into tensors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lighthouse/kernels/cuda_scratch.h"
#include "lighthouse/ops/check.h"

namespace lighthouse::cuda {

/// Returns pieces of `scratch` one after another, aligned as cuda_scratch counts them. Throws std::logic_error if the
/// scratch is too small. `scratch` must outlive the object.
class ScratchCutter {
 public:
  explicit ScratchCutter(const Tensor& scratch) : scratch_(scratch) {}

  Tensor take(const Shape& shape, DType dtype) {
    return {take(shape.numel() * size_of(dtype)), shape, dtype, scratch_.device()};
  }
  void* take(int64_t bytes) {
    void* piece = static_cast<std::byte*>(scratch_.raw()) + used_;
    used_ += cuda_scratch::aligned(bytes);
    require(used_ <= scratch_.bytes(), "an operation's scratch", {&scratch_});
    return piece;
  }
  Tensor rest() const { return scratch_.slice(0, used_, scratch_.size(0)); }

 private:
  const Tensor& scratch_;
  int64_t used_ = 0;
};

}  // namespace lighthouse::cuda
