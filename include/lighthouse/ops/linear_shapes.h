// Arguments of the linear layer, checked in one place for all backends.
#pragma once

#include "lighthouse/ops/check.h"

namespace lighthouse {

/// Throws std::logic_error unless out [T, O], x [T, I] and weight [O, I] (or the gradients of out and x in their place)
/// are contiguous and all float32 or all bfloat16.
void require_linear(const char* operation, const Tensor& out, const Tensor& x, const Tensor& weight);

/// As require_linear for dout, x and the weight's gradient, which is float32.
void require_linear_weight_gradient(const char* operation, const Tensor& dout, const Tensor& x, const Tensor& dweight);

}  // namespace lighthouse
