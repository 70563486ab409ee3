// Causal attention in float32 by plain kernels, for float32 runs and to compare fast kernels with. Arguments are those
// of AttentionOperations::attention_forward and attention_backward; head dimensions are multiples of 8 up to 256.
#pragma once

#include <cstdint>

#include "lighthouse/ops/backend.h"

namespace lighthouse::cuda {

void attention_forward_float32(const Stream& stream, const Tensor& out, const Tensor& lse, const Tensor& q,
                               const Tensor& k, const Tensor& v, const AttentionMask& mask);
void attention_backward_float32(const Stream& stream, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                                const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask);

}  // namespace lighthouse::cuda
