// Causal attention inside documents, in bfloat16: for cuDNN the documents are packed sequences.
#pragma once

#include "attention_cudnn.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse::cuda {

/// The tensors of AttentionOperations::attention_backward.
struct AttentionGradient {
  const Tensor &dq, &dk, &dv, &dout, &out, &q, &k, &v, &lse;
};

/// As AttentionOperations::attention_forward and attention_backward with `mask`, whose window is 0 or below N. q, k and
/// v are views of one contiguous fused tensor, dq, dk and dv of another; lse has the layout [B, N, H]. Builds one graph
/// for each number of documents rounded up to a power of two.
void attention_forward_documents(CudnnAttention& cudnn, const Stream& stream, const Tensor& out, const Tensor& lse,
                                 const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                 const AttentionMask& mask);
void attention_backward_documents(CudnnAttention& cudnn, const Stream& stream, const AttentionGradient& gradient,
                                  const Tensor& scratch, const AttentionMask& mask);

}  // namespace lighthouse::cuda
