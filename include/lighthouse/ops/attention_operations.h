// Causal attention, dense or in a window, with or without document boundaries.
#pragma once

#include <cstdint>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/operation.h"

namespace lighthouse {

/// Where the documents of a batch begin. AttentionOperations::find_documents fills it.
struct Documents {
  Tensor starts;  // int32 [B, N]: the position in its sequence at which each token's document begins
  Tensor bounds;  // int32 [B N + 2]: the first token of each document, counted through the batch; the rest is B N; the
                  // last element is the number of documents
  int64_t count = 0;  // number of documents
};

/// Which of the keys up to itself a query sees.
struct AttentionMask {
  int64_t window = 0;   // the query's own key and the window - 1 keys before it; 0: all keys
  Documents documents;  // no keys before the start of the query's document; empty: a sequence is one document
};

/// softmax(q k^T / sqrt(D)) v without an N x N matrix in memory (Dao, 2022). backend.h has the rules that hold for all
/// operations.
class AttentionOperations : public virtual OperationSet {
 public:
  /// Fills starts and bounds from tokens int32 [B, N] and returns the number of documents. A document ends with the
  /// token `end_of_text`, or with its sequence. Waits for the device, so it cannot be captured.
  int64_t find_documents(const Stream& stream, const Documents& documents, const Tensor& tokens, int32_t end_of_text);
  /// out [B, N, H, D], lse [B, H, N] (log of the sum of exponentials of the scaled scores);
  /// q [B, N, H, D], k and v [B, N, G, D]. Query head h uses key/value head h / (H / G). With documents in bfloat16 on
  /// CUDA, q, k and v must be parts of one fused tensor, lse has the layout [B, N, H], and the backward is not
  /// deterministic.
  void attention_forward(const Stream& stream, const Tensor& out, const Tensor& lse, const Tensor& scratch,
                         const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask = {});
  /// `documents`: whether the mask will have documents; `window`: its window.
  virtual int64_t attention_forward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const = 0;
  /// dq, dk, dv are shaped as q, k, v; dout as out.
  void attention_backward(const Stream& stream, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                          const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                          const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask = {});
  virtual int64_t attention_backward_scratch(const Shape& q, int64_t kv_heads, bool documents,
                                             int64_t window) const = 0;

 protected:
  ~AttentionOperations() = default;

 private:
  // A device's version of each operation above. The arguments, in the same order, have been checked.
  virtual int64_t do_find_documents(const Stream&, const Documents&, const Tensor&, int32_t) {
    not_implemented(__func__);
  }
  virtual void do_attention_forward(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                    const Tensor&, const Tensor&, const AttentionMask&) {
    not_implemented(__func__);
  }
  virtual void do_attention_backward(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                     const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                     const Tensor&, const AttentionMask&) {
    not_implemented(__func__);
  }
};

}  // namespace lighthouse
