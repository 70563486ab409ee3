// Element types of attention's arguments, checked in one place for all backends.
#pragma once

#include "lighthouse/ops/check.h"

namespace lighthouse {

/// Throws std::logic_error unless q, k, v and out (or their gradients) are all float32 or all bfloat16, and lse is
/// float32.
void require_attention_types(const char* operation, const Tensor& q, const Tensor& k, const Tensor& v,
                             const Tensor& out, const Tensor& lse);

}  // namespace lighthouse
