// What attention_decode and cache_rows are given, checked in one place for all backends.
#pragma once

#include "lighthouse/ops/check.h"

namespace lighthouse {

/// Throws std::logic_error unless x [N, G, D] fits into cache [M, G, D].
void require_cache_rows(const Tensor& cache, const Tensor& x);

/// Throws std::logic_error unless the arguments of Backend::attention_decode fit together.
void require_decode(const Tensor& out, const Tensor& k_cache, const Tensor& v_cache, const Tensor& qkv,
                    const Tensor& cos, const Tensor& sin, const Tensor& position);

}  // namespace lighthouse
