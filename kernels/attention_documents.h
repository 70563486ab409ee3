// Causal attention that stays inside documents, in bfloat16: to cuDNN they are sequences that lie end to end.
#pragma once

#include "attention_cudnn.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse::cuda {

/// Of Backend::attention_backward.
struct AttentionGradient {
  const Tensor &dq, &dk, &dv, &dout, &out, &q, &k, &v, &lse;
};

/// As Backend::attention_forward and attention_backward with `mask`, whose window is 0 or below N. q, k and v are parts
/// of one contiguous fused tensor, dq, dk and dv of another; lse is [B, N, H] within. Builds a graph for each power of
/// two that the documents fit into.
void attention_forward_documents(CudnnAttention& cudnn, const Stream& stream, const Tensor& out, const Tensor& lse,
                                 const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                 const AttentionMask& mask);
void attention_backward_documents(CudnnAttention& cudnn, const Stream& stream, const AttentionGradient& gradient,
                                  const Tensor& scratch, const AttentionMask& mask);

}  // namespace lighthouse::cuda
