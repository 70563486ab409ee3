// Conversion of weights between floating-point types, on the host.
#pragma once

#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// Copies all elements of `from` into `to`. Float32, bfloat16 and float16 convert to float32 or bfloat16 (rounded to
/// nearest, ties to even); any type copies to itself. Both tensors must be contiguous host tensors with the same number
/// of elements. Throws std::logic_error for any other pair of types.
void copy_elements(const Tensor& to, const Tensor& from);

}  // namespace lighthouse
