// Weights from one floating-point type to another, on the host.
#pragma once

#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// Copies all elements of one weight type to float32 or bfloat16 (the nearest, ties to even), or to the same type. Both
/// tensors are contiguous and of the same number of elements. Throws std::logic_error on other types.
void copy_elements(const Tensor& to, const Tensor& from);

}  // namespace lighthouse
