#include "lighthouse/ops/decode_operations.h"

#include <algorithm>

#include "lighthouse/ops/check.h"

namespace lighthouse {
namespace {

/// Each element of out [1, O] comes from `rows` rows of weight [rows O, I], and from x [1, I].
bool is_product(const Tensor& out, const Tensor& x, const Tensor& weight, int64_t rows) {
  return out.rank() == 2 && x.rank() == 2 && out.size(0) == 1 && x.size(0) == 1 &&
         have_shape({rows * out.size(1), x.size(1)}, weight) && contiguous(out, x, weight) &&
         is_activation_type(out.dtype()) && have_dtype(out.dtype(), x, weight);
}

bool is_norm(const Tensor& norm, const Tensor& x) {
  return norm.numel() == x.numel() && contiguous(norm) && have_dtype(x.dtype(), norm);
}

Operation product(const char* kind, const Tensor& x, const Tensor& weight) {
  return {.kind = kind, .work = Work::kProduct, .flops = 2 * static_cast<double>(weight.numel()), .reads = {x, weight}};
}

}  // namespace

void DecodeOperations::token_norm_linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                         double epsilon, const Tensor& weight) {
  require(is_product(out, x, weight, 1) && is_norm(norm, x), "token_norm_linear", {&out, &x, &norm, &weight});
  const auto describe = [&] {
    Operation operation = product("norm and product of a token", x, weight);
    operation.writes = {out};
    operation.reads.push_back(norm);
    return operation;
  };
  run(stream, describe, [&] { do_token_norm_linear(stream, out, x, norm, epsilon, weight); });
}

void DecodeOperations::token_norm_swiglu(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                         double epsilon, const Tensor& gate_up) {
  require(is_product(out, x, gate_up, 2) && is_norm(norm, x), "token_norm_swiglu", {&out, &x, &norm, &gate_up});
  const auto describe = [&] {
    Operation operation = product("norm, product and swiglu of a token", x, gate_up);
    operation.writes = {out};
    operation.reads.push_back(norm);
    return operation;
  };
  run(stream, describe, [&] { do_token_norm_swiglu(stream, out, x, norm, epsilon, gate_up); });
}

void DecodeOperations::token_linear_add(const Stream& stream, const Tensor& sum, const Tensor& x,
                                        const Tensor& weight) {
  require(is_product(sum, x, weight, 1), "token_linear_add", {&sum, &x, &weight});
  const auto describe = [&] {
    Operation operation = product("product and sum of a token", x, weight);
    operation.updates = {sum};
    return operation;
  };
  run(stream, describe, [&] { do_token_linear_add(stream, sum, x, weight); });
}

void DecodeOperations::cache_rows(const Stream& stream, const Tensor& cache, const Tensor& x) {
  require(cache.rank() == 3 && x.rank() == 3 && x.size(0) <= cache.size(0) && x.size(1) == cache.size(1) &&
              x.size(2) == cache.size(2) && contiguous(cache) && x.stride(2) == 1 && x.stride(1) == x.size(2) &&
              have_dtype(cache.dtype(), x),
          "cache_rows", {&cache, &x});
  const auto describe = [&] {
    return Operation{.kind = "cache rows", .writes = {cache.slice(0, 0, x.size(0))}, .reads = {x}};
  };
  run(stream, describe, [&] { do_cache_rows(stream, cache, x); });
}

void DecodeOperations::attention_decode(const Stream& stream, const Tensor& out, const Tensor& k_cache,
                                        const Tensor& v_cache, const Tensor& scratch, const Tensor& qkv,
                                        const Tensor& cos, const Tensor& sin, const Tensor& position, int64_t window) {
  require(out.rank() == 2 && k_cache.rank() == 3 && qkv.rank() == 2 && have_shape(k_cache.shape(), v_cache) &&
              k_cache.size(1) > 0 && out.size(0) % k_cache.size(1) == 0 && out.size(1) == k_cache.size(2) &&
              out.size(1) % 2 == 0 && have_shape({out.size(0) + 2 * k_cache.size(1), out.size(1)}, qkv) &&
              have_shape({k_cache.size(0), out.size(1) / 2}, cos, sin) && position.numel() == 1 &&
              contiguous(out, k_cache, v_cache, qkv, cos, sin) && is_activation_type(out.dtype()) &&
              have_dtype(out.dtype(), k_cache, v_cache, qkv) && have_dtype(DType::kFloat32, cos, sin) &&
              have_dtype(DType::kInt32, position) && window >= 0 &&
              scratch.bytes() >= attention_decode_scratch(k_cache.shape(), out.size(0)),
          "attention_decode", {&out, &k_cache, &v_cache, &scratch, &qkv, &cos, &sin, &position});
  const auto describe = [&] {
    // The position is in device memory and not known here: the cache is taken to be full.
    const int64_t rows = window > 0 ? std::min(window, k_cache.size(0)) : k_cache.size(0);
    return Operation{.kind = "attention decode",
                     .writes = {out},
                     .reads = {k_cache.slice(0, 0, rows), v_cache.slice(0, 0, rows), qkv}};
  };
  run(stream, describe,
      [&] { do_attention_decode(stream, out, k_cache, v_cache, scratch, qkv, cos, sin, position, window); });
}

}  // namespace lighthouse
