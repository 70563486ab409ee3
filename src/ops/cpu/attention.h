// Causal attention, as attention_forward and the dilated scorer share it.
#pragma once

#include "lighthouse/core/tensor.h"

namespace lighthouse::cpu {

/// out [B, N, H, D] and lse [B, H, N] of causal softmax attention with scale 1 / sqrt(D). q, k and v are
/// [B, N, X, D] with any X that divides H, each its own: query head h uses head h / (H / X). `starts` as in
/// Backend::attention_forward.
void causal_attention(const Tensor& out, const Tensor& lse, const Tensor& scratch, const Tensor& q, const Tensor& k,
                      const Tensor& v, const Tensor& starts = Tensor());

/// Whether `starts` [B, N] is not given, or says of each position of q where a document begins that it belongs to.
bool are_starts_of(const Tensor& q, const Tensor& starts);
int64_t causal_attention_scratch(int64_t head_dim);

}  // namespace lighthouse::cpu
