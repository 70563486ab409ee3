// Causal attention, as attention_forward and the dilated scorer share it.
#pragma once

#include "lighthouse/core/tensor.h"

namespace lighthouse::cpu {

/// out [B, N, H, D] and lse [B, H, N] of causal softmax attention with scale 1 / sqrt(D). q, k and v are
/// [B, N, X, D] with any X that divides H, each its own: query head h uses head h / (H / X).
void causal_attention(const Tensor& out, const Tensor& lse, const Tensor& scratch, const Tensor& q, const Tensor& k,
                      const Tensor& v);
int64_t causal_attention_scratch(int64_t head_dim);

}  // namespace lighthouse::cpu
