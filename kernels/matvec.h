// The linear layer of a single token.
#pragma once

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/stream.h"

namespace lighthouse::cuda {

/// Whether matvec() takes these arguments of linear_forward: one token, all of one type, rows of whole 16 bytes.
bool can_matvec(const Tensor& out, const Tensor& x, const Tensor& weight);

/// out [1, O] = x [1, I] weight [O, I]^T, summed in float32. `early`: see early_launch.cuh.
void matvec(const Stream& stream, bool early, const Tensor& out, const Tensor& x, const Tensor& weight);

}  // namespace lighthouse::cuda
