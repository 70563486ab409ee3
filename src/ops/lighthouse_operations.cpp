#include "lighthouse/ops/lighthouse_operations.h"

#include "lighthouse/ops/check.h"
#include "lighthouse/ops/cost.h"

namespace lighthouse {
namespace {

void check_scores(const char* operation, const Tensor& s_q, const Tensor& s_k, const Tensor& q, const Tensor& k,
                  const LighthouseShape& shape) {
  require(has_heads(q) && has_heads(k) && is_kv_of(q, k) && q.size(1) == shape.sequence_length &&
              have_shape({q.size(0), k.size(2), shape.scored_entries()}, s_q, s_k) && contiguous(s_q, s_k) &&
              is_activation_type(q.dtype()) && have_dtype(q.dtype(), k) && have_dtype(DType::kFloat32, s_q, s_k),
          operation, {&s_q, &s_k, &q, &k});
}

bool is_selection(const LighthouseSelection& selection, const LighthouseShape& shape) {
  const Tensor &indices = selection.indices, &rows = selection.rows;
  return indices.rank() == 3 && indices.size(1) > 0 && indices.size(2) == shape.gathered() &&
         have_shape({indices.size(0), indices.size(1), shape.all_entries()}, rows) && contiguous(indices, rows) &&
         have_dtype(DType::kInt32, indices, rows);
}

/// full [B, N, X, D], gathered [B, S, X, D]. X is H, or H + 2 G if `fused`.
void check_gather(const char* operation, const Tensor& full, const Tensor& gathered,
                  const LighthouseSelection& selection, const LighthouseShape& shape, bool fused) {
  const Tensor &indices = selection.indices, &rows = selection.rows;
  require(has_heads(full) && has_heads(gathered) && full.size(1) == shape.sequence_length &&
              have_shape({full.size(0), shape.gathered(), full.size(2), full.size(3)}, gathered) &&
              is_activation_type(full.dtype()) && have_dtype(full.dtype(), gathered) &&
              is_selection(selection, shape) && indices.size(0) == full.size(0),
          operation, {&full, &gathered, &indices, &rows});
  const int64_t groups = indices.size(1), heads = full.size(2) - (fused ? 2 * groups : 0);
  require(heads > 0 && heads % groups == 0, operation, {&full, &indices});
}

/// cos and sin [N, D/2] of the positions of `full`, or both empty.
void check_angles(const char* operation, const Tensor& full, const Tensor& cos, const Tensor& sin) {
  const bool rotates = cos.rank() == 2 && full.size(3) % 2 == 0 && contiguous(cos, sin) &&
                       have_shape({full.size(1), full.size(3) / 2}, cos, sin) && have_dtype(DType::kFloat32, cos, sin);
  require(rotates || (cos.rank() == 0 && sin.rank() == 0), operation, {&full, &cos, &sin});
}

/// The window branch's tensor is empty or shaped as `full`.
void check_window(const char* operation, const Tensor& full, const Tensor& window) {
  require(
      window.rank() == 0 || (has_heads(window) && have_shape(full.shape(), window) && have_dtype(full.dtype(), window)),
      operation, {&full, &window});
}

}  // namespace

void LighthouseOperations::lighthouse_norm_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k,
                                                  const Tensor& q, const Tensor& k, const LighthouseShape& shape) {
  check_scores("lighthouse_norm_scores", s_q, s_k, q, k, shape);
  const auto describe = [&] {
    return Operation{.kind = "lighthouse norm scores", .writes = {s_q, s_k}, .reads = {q, k}};
  };
  run(stream, describe, [&] { do_lighthouse_norm_scores(stream, s_q, s_k, q, k, shape); });
}

void LighthouseOperations::lighthouse_dilated_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k,
                                                     const Tensor& scratch, const Tensor& q, const Tensor& k,
                                                     const Tensor& v, int64_t dilation, const LighthouseShape& shape) {
  check_scores("lighthouse_dilated_scores", s_q, s_k, q, k, shape);
  require(
      has_heads(v) && have_shape(k.shape(), v) && have_dtype(q.dtype(), v) && dilation > 0 && q.size(1) % dilation == 0,
      "lighthouse_dilated_scores", {&q, &k, &v});
  const auto describe = [&] {
    // Attention from q to k and from k to q, each over `dilation` sequences that are as many times shorter.
    return Operation{.kind = "lighthouse dilated scores",
                     .work = Work::kAttentionForward,
                     .flops = 2 * causal_attention_flops(q.shape()) / static_cast<double>(dilation),
                     .writes = {s_q, s_k},
                     .reads = {q, k, v}};
  };
  run(stream, describe, [&] { do_lighthouse_dilated_scores(stream, s_q, s_k, scratch, q, k, v, dilation, shape); });
}

void LighthouseOperations::lighthouse_select(const Stream& stream, const LighthouseSelection& selection,
                                             const Tensor& s_q, const Tensor& s_k, const LighthouseShape& shape) {
  const Tensor &indices = selection.indices, &rows = selection.rows;
  require(is_selection(selection, shape) &&
              have_shape({indices.size(0), indices.size(1), shape.scored_entries()}, s_q, s_k) &&
              contiguous(s_q, s_k) && have_dtype(DType::kFloat32, s_q, s_k),
          "lighthouse_select", {&indices, &rows, &s_q, &s_k});
  const auto describe = [&] {
    return Operation{.kind = "lighthouse select", .writes = {indices, rows}, .reads = {s_q, s_k}};
  };
  run(stream, describe, [&] { do_lighthouse_select(stream, selection, s_q, s_k, shape); });
}

void LighthouseOperations::lighthouse_invert(const Stream& stream, const LighthouseSelection& selection,
                                             const LighthouseShape& shape) {
  const Tensor &indices = selection.indices, &rows = selection.rows;
  require(is_selection(selection, shape), "lighthouse_invert", {&indices, &rows});
  const auto describe = [&] { return Operation{.kind = "lighthouse invert", .writes = {rows}, .reads = {indices}}; };
  run(stream, describe, [&] { do_lighthouse_invert(stream, selection, shape); });
}

void LighthouseOperations::lighthouse_gather(const Stream& stream, const Tensor& gathered, const Tensor& qkv,
                                             const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                             const LighthouseShape& shape) {
  check_gather("lighthouse_gather", qkv, gathered, selection, shape, true);
  check_angles("lighthouse_gather", qkv, cos, sin);
  const auto describe = [&] {
    return Operation{.kind = "lighthouse gather", .writes = {gathered}, .reads = given(qkv, selection.rows, cos, sin)};
  };
  run(stream, describe, [&] { do_lighthouse_gather(stream, gathered, qkv, selection, cos, sin, shape); });
}

void LighthouseOperations::lighthouse_gather_backward(const Stream& stream, const Tensor& dqkv, const Tensor& dgathered,
                                                      const LighthouseSelection& selection, const Tensor& cos,
                                                      const Tensor& sin, const LighthouseShape& shape,
                                                      const Tensor& window_dqkv) {
  check_gather("lighthouse_gather_backward", dqkv, dgathered, selection, shape, true);
  check_angles("lighthouse_gather_backward", dqkv, cos, sin);
  check_window("lighthouse_gather_backward", dqkv, window_dqkv);
  const auto describe = [&] {
    return Operation{.kind = "lighthouse gather backward",
                     .writes = {dqkv},
                     .reads = given(dgathered, selection.rows, cos, sin, window_dqkv)};
  };
  run(stream, describe,
      [&] { do_lighthouse_gather_backward(stream, dqkv, dgathered, selection, cos, sin, shape, window_dqkv); });
}

void LighthouseOperations::lighthouse_scatter(const Stream& stream, const Tensor& out, const Tensor& gathered,
                                              const LighthouseSelection& selection, const LighthouseShape& shape,
                                              const Tensor& window_out) {
  check_gather("lighthouse_scatter", out, gathered, selection, shape, false);
  check_window("lighthouse_scatter", out, window_out);
  const auto describe = [&] {
    return Operation{
        .kind = "lighthouse scatter", .writes = {out}, .reads = given(gathered, selection.rows, window_out)};
  };
  run(stream, describe, [&] { do_lighthouse_scatter(stream, out, gathered, selection, shape, window_out); });
}

void LighthouseOperations::lighthouse_scatter_backward(const Stream& stream, const Tensor& dgathered,
                                                       const Tensor& dout, const LighthouseSelection& selection,
                                                       const LighthouseShape& shape) {
  check_gather("lighthouse_scatter_backward", dout, dgathered, selection, shape, false);
  const auto describe = [&] {
    return Operation{.kind = "lighthouse scatter backward", .writes = {dgathered}, .reads = {dout, selection.rows}};
  };
  run(stream, describe, [&] { do_lighthouse_scatter_backward(stream, dgathered, dout, selection, shape); });
}

}  // namespace lighthouse
