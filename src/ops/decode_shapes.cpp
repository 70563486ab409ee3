#include "lighthouse/ops/decode_shapes.h"

namespace lighthouse {
namespace {

/// out [1, O] takes `rows` rows each of weight [rows O, I], and x [1, I].
bool is_product(const Tensor& out, const Tensor& x, const Tensor& weight, int64_t rows) {
  return out.rank() == 2 && x.rank() == 2 && out.size(0) == 1 && x.size(0) == 1 &&
         have_shape({rows * out.size(1), x.size(1)}, weight) && contiguous(out, x, weight) &&
         x.dtype() == out.dtype() && weight.dtype() == out.dtype();
}

bool is_norm(const Tensor& norm, const Tensor& x) {
  return norm.numel() == x.numel() && contiguous(norm) && norm.dtype() == x.dtype();
}

}  // namespace

void require_cache_rows(const Tensor& cache, const Tensor& x) {
  require(cache.rank() == 3 && x.rank() == 3 && x.size(0) <= cache.size(0) && x.size(1) == cache.size(1) &&
              x.size(2) == cache.size(2) && cache.is_contiguous() && x.stride(2) == 1 && x.stride(1) == x.size(2) &&
              x.dtype() == cache.dtype(),
          "cache_rows", {&cache, &x});
}

void require_decode(const Tensor& out, const Tensor& k_cache, const Tensor& v_cache, const Tensor& qkv,
                    const Tensor& cos, const Tensor& sin, const Tensor& position) {
  const bool ranks = out.rank() == 2 && k_cache.rank() == 3 && qkv.rank() == 2;
  require(ranks && have_shape(k_cache.shape(), v_cache) && k_cache.size(1) > 0 && out.size(0) % k_cache.size(1) == 0 &&
              out.size(1) == k_cache.size(2) && out.size(1) % 2 == 0 &&
              have_shape({out.size(0) + 2 * k_cache.size(1), out.size(1)}, qkv) &&
              have_shape({k_cache.size(0), out.size(1) / 2}, cos, sin) && position.numel() == 1 &&
              contiguous(out, k_cache, v_cache, qkv, cos, sin) && is_activation_type(out.dtype()) &&
              have_dtype(out.dtype(), k_cache, v_cache, qkv) && have_dtype(DType::kFloat32, cos, sin) &&
              have_dtype(DType::kInt32, position),
          "attention_decode", {&out, &k_cache, &v_cache, &qkv, &cos, &sin, &position});
}

void require_token_norm_linear(const Tensor& out, const Tensor& x, const Tensor& norm, const Tensor& weight) {
  require(is_product(out, x, weight, 1) && is_norm(norm, x), "token_norm_linear", {&out, &x, &norm, &weight});
}

void require_token_norm_swiglu(const Tensor& out, const Tensor& x, const Tensor& norm, const Tensor& gate_up) {
  require(is_product(out, x, gate_up, 2) && is_norm(norm, x), "token_norm_swiglu", {&out, &x, &norm, &gate_up});
}

void require_token_linear_add(const Tensor& sum, const Tensor& x, const Tensor& weight) {
  require(is_product(sum, x, weight, 1), "token_linear_add", {&sum, &x, &weight});
}

}  // namespace lighthouse
