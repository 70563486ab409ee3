// Causal attention in bfloat16 by cuDNN's graph API.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/stream.h"

struct cudnnContext;

namespace lighthouse::cuda {

/// The parameters of a cuDNN graph. The queries are those of the last keys: each sees the keys up to its own.
struct AttentionProblem {
  int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, head_dim = 0;
  // Total number of tokens if the tensors hold sequences of different lengths (at most `queries`) end to end; else 0.
  int64_t packed_tokens = 0;
  int64_t window = 0;  // number of keys that a query sees, including its own; 0: all up to its own
  bool backward = false;
  bool deterministic = false;
  // Strides of batch entry, position and head, in elements, of each tensor [B, N, heads, D].
  struct Strides {
    int64_t batch = 0, position = 0, head = 0;
    friend auto operator<=>(const Strides&, const Strides&) = default;
  };
  Strides q, k, v, out, dout, dq, dk, dv;

  friend auto operator<=>(const AttentionProblem&, const AttentionProblem&) = default;
};

inline AttentionProblem::Strides strides_of(const Tensor& x) {
  return {x.stride(0), x.stride(1), x.stride(2)};
}

/// The addresses of the first elements; gradients only in a backward problem. lse is [B, H, queries]. With packed
/// sequences, lse is [tokens, H], and there are their lengths, int32 [batch], and their offsets in elements, int64
/// [batch + 1]: of k, v and (forward) q; of out, dout, dq and (backward) q; of dk and dv; of lse.
struct AttentionAddresses {
  void *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr, *lse = nullptr;
  void *dout = nullptr, *dq = nullptr, *dk = nullptr, *dv = nullptr;
  void *lengths = nullptr, *at_fused = nullptr, *at_queries = nullptr, *at_keys = nullptr, *at_lse = nullptr;
};

/// Builds each problem's graph once, with the engine that cuDNN's heuristics choose, and keeps it.
class CudnnAttention {
 public:
  CudnnAttention();
  ~CudnnAttention();

  /// Throws InputError if cuDNN does not support the head size or needs more workspace, RunError if it fails.
  void run(const Stream& stream, const AttentionProblem& problem, const AttentionAddresses& at,
           const Tensor& workspace);

 private:
  class Plan;
  struct DestroyHandle {
    void operator()(cudnnContext* handle) const;
  };
  std::unique_ptr<cudnnContext, DestroyHandle> handle_;
  std::map<AttentionProblem, std::unique_ptr<Plan>> plans_;
};

}  // namespace lighthouse::cuda
