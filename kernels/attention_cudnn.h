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

/// What a graph of cuDNN is built for. The queries are the last ones of the keys: each sees the keys up to its place.
struct AttentionProblem {
  int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, head_dim = 0;
  // Sequences of their own lengths, `queries` at most, lie end to end in each tensor; so many tokens in all. 0: not so.
  int64_t packed_tokens = 0;
  int64_t window = 0;  // keys that a query sees, its own included; 0: all up to its own
  bool backward = false;
  bool deterministic = false;
  // Elements from one batch entry, position and head to the next, of each tensor [B, N, heads, D].
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

/// The addresses of the first elements; of the gradients only in a backward problem. lse is [B, H, queries]; of packed
/// sequences [tokens, H], and then there are also their lengths, int32 [batch], and where each begins, int64 [batch +
/// 1], in elements: of k, v and, forward, q; of out, dout, dq and, backward, q; of dk and dv; of lse.
struct AttentionAddresses {
  void *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr, *lse = nullptr;
  void *dout = nullptr, *dq = nullptr, *dk = nullptr, *dv = nullptr;
  void *lengths = nullptr, *at_fused = nullptr, *at_queries = nullptr, *at_keys = nullptr, *at_lse = nullptr;
};

/// Builds each problem's graph once, the engine by cuDNN's heuristics, and keeps it.
class CudnnAttention {
 public:
  CudnnAttention();
  ~CudnnAttention();

  /// Throws InputError if cuDNN has no way for such heads or wants more workspace than is given, RunError if it fails.
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
