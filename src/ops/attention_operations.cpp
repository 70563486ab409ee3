#include "lighthouse/ops/attention_operations.h"

#include "lighthouse/ops/check.h"

namespace lighthouse {
namespace {

/// Also with the gradients of q, k, v and out in their place.
void check_attention(const char* operation, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                     const Tensor& lse, const AttentionMask& mask) {
  const Tensor& starts = mask.documents.starts;
  const bool has_documents = starts.rank() > 0;
  require(has_heads(q) && has_heads(k) && has_heads(v) && has_heads(out) && is_kv_of(q, k) &&
              have_shape(k.shape(), v) && have_shape(q.shape(), out) &&
              have_shape({q.size(0), q.size(2), q.size(1)}, lse) && contiguous(lse) && is_activation_type(q.dtype()) &&
              have_dtype(q.dtype(), k, v, out) && have_dtype(DType::kFloat32, lse) && mask.window >= 0 &&
              (!has_documents ||
               (have_shape({q.size(0), q.size(1)}, starts) && contiguous(starts) && have_dtype(DType::kInt32, starts))),
          operation, {&q, &k, &v, &out, &lse, &starts});
}

}  // namespace

int64_t AttentionOperations::find_documents(const Stream& stream, const Documents& documents, const Tensor& tokens,
                                            int32_t end_of_text) {
  const Tensor &starts = documents.starts, &bounds = documents.bounds;
  require(tokens.rank() == 2 && have_shape(tokens.shape(), starts) && have_shape({tokens.numel() + 2}, bounds) &&
              contiguous(starts, bounds, tokens) && have_dtype(DType::kInt32, starts, bounds, tokens),
          "find_documents", {&starts, &bounds, &tokens});
  int64_t count = 0;
  const auto describe = [&] {
    return Operation{.kind = "documents found", .writes = {starts, bounds}, .reads = {tokens}};
  };
  run(stream, describe, [&] { count = do_find_documents(stream, documents, tokens, end_of_text); });
  return count;
}

// The number of pairs that documents hide is not known here: attention costs what it costs over whole sequences.
void AttentionOperations::attention_forward(const Stream& stream, const Tensor& out, const Tensor& lse,
                                            const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                            const AttentionMask& mask) {
  check_attention("attention_forward", q, k, v, out, lse, mask);
  const auto describe = [&] {
    return Operation{.kind = mask.window > 0 ? "window attention forward" : "attention forward",
                     .work = Work::kAttentionForward,
                     .flops = causal_attention_flops(q.shape(), mask.window),
                     .writes = {out, lse},
                     .reads = given(q, k, v, mask.documents.starts)};
  };
  run(stream, describe, [&] { do_attention_forward(stream, out, lse, scratch, q, k, v, mask); });
}

void AttentionOperations::attention_backward(const Stream& stream, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                             const Tensor& scratch, const Tensor& dout, const Tensor& out,
                                             const Tensor& lse, const Tensor& q, const Tensor& k, const Tensor& v,
                                             const AttentionMask& mask) {
  check_attention("attention_backward", q, k, v, out, lse, mask);
  check_attention("attention_backward", dq, dk, dv, dout, lse, mask);
  require(have_shape(q.shape(), dq) && have_shape(k.shape(), dk) && have_dtype(q.dtype(), dq), "attention_backward",
          {&q, &k, &dq, &dk});
  const auto describe = [&] {
    return Operation{.kind = mask.window > 0 ? "window attention backward" : "attention backward",
                     .work = Work::kAttentionBackward,
                     .flops = 2.5 * causal_attention_flops(q.shape(), mask.window),
                     .writes = {dq, dk, dv},
                     .reads = given(dout, out, lse, q, k, v, mask.documents.starts)};
  };
  run(stream, describe, [&] { do_attention_backward(stream, dq, dk, dv, scratch, dout, out, lse, q, k, v, mask); });
}

}  // namespace lighthouse
