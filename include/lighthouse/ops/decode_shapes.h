// What the operations of one new token are given, checked in one place for all backends.
#pragma once

#include "lighthouse/ops/check.h"

namespace lighthouse {

/// Throws std::logic_error unless x [N, G, D] fits into cache [M, G, D].
void require_cache_rows(const Tensor& cache, const Tensor& x);

/// Throws std::logic_error unless the arguments of Backend::attention_decode fit together.
void require_decode(const Tensor& out, const Tensor& k_cache, const Tensor& v_cache, const Tensor& qkv,
                    const Tensor& cos, const Tensor& sin, const Tensor& position);

/// Throw std::logic_error unless the arguments of Backend::token_norm_linear, token_norm_swiglu and token_linear_add
/// fit together.
void require_token_norm_linear(const Tensor& out, const Tensor& x, const Tensor& norm, const Tensor& weight);
void require_token_norm_swiglu(const Tensor& out, const Tensor& x, const Tensor& norm, const Tensor& gate_up);
void require_token_linear_add(const Tensor& sum, const Tensor& x, const Tensor& weight);

}  // namespace lighthouse
