// The scratch that the CUDA backend's operations want, in bytes: formulas of shapes alone, so that a run can be planned
// where there is no GPU. The backend itself uses them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lighthouse/core/dtype.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/core/text.h"

namespace lighthouse::cuda_scratch {

constexpr int64_t kMebibyte = int64_t{1} << 20;

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
/// Up to the next multiple of 256, so that what follows is aligned as cuDNN and cuBLASLt like it.
constexpr int64_t aligned(int64_t bytes) {
  return divide_up(bytes, 256) * 256;
}

constexpr int64_t kLogitsBytes = 2048 * kMebibyte;

/// cuBLASLt's workspace, for any product.
constexpr int64_t linear() {
  return 32 * kMebibyte;
}

constexpr int64_t kNormPartials = 1024;  // blocks of rows whose sums are kept apart
constexpr int64_t rmsnorm_backward(int64_t tokens, int64_t hidden_size) {
  return std::min(tokens, kNormPartials) * hidden_size * size_of(DType::kFloat32);
}

constexpr int64_t kEmbeddingChunk = 64;  // sorted tokens whose gradients one block adds
/// Sorted tokens and places and what sorting takes; the sums that chunks share with their neighbours.
constexpr int64_t embedding_backward(int64_t tokens, int64_t hidden_size) {
  const int64_t partials = (divide_up(tokens, kEmbeddingChunk) + 1) * 2 * hidden_size * size_of(DType::kFloat32);
  return aligned(tokens * 48) + kMebibyte + aligned(partials);
}

constexpr int64_t kReductionBlock = 16384;  // elements that one block sums
constexpr int64_t reduction(int64_t numel) {
  return aligned(divide_up(numel, kReductionBlock) * size_of(DType::kFloat64));
}

/// q [B, N, H, D].
inline int64_t attention_forward(DType dtype, const Shape& /*q*/, int64_t /*kv_heads*/) {
  return dtype == DType::kFloat32 ? 0 : kMebibyte;
}

/// cuDNN's deterministic backward keeps dq's parts of all pairs of blocks: 2 bytes for each query and key.
inline int64_t deterministic_workspace(const Shape& q, int64_t queries) {
  return 2 * q[0] * q[2] * queries * q[1];
}

/// Queries that the deterministic backward takes at a time: all N if their workspace is at most `limit`, else as many
/// as fit, a multiple of 128. Throws InputError if not even 128 do.
inline int64_t query_chunk(const Shape& q, int64_t limit) {
  if (deterministic_workspace(q, q[1]) <= limit) return q[1];
  const int64_t smallest = deterministic_workspace(q, std::min<int64_t>(128, q[1]));
  if (smallest > limit) {
    throw InputError("run.deterministic: memory.attention_workspace is " + format_bytes(limit) +
                     ", and attention's backward takes " + format_bytes(smallest) + " for 128 queries; set it to more");
  }
  return limit / smallest * 128;
}

/// float32: the sums of dout * out [B, H, N]. bfloat16: cuDNN's float32 sums of dq and of dout * out, where heads share
/// keys also each head's own dk and dv, and its deterministic workspace; in chunks of queries also float32 sums and
/// bfloat16 parts of dk and dv.
inline int64_t attention_backward(DType dtype, const Shape& q, int64_t kv_heads, bool deterministic, int64_t limit) {
  const int64_t rows = q[0] * q[2] * q[1];
  if (dtype == DType::kFloat32) return aligned(rows * size_of(DType::kFloat32));
  const int64_t of_heads = kv_heads == q[2] ? 0 : 2 * rows * q[3] * size_of(DType::kBFloat16);
  const int64_t sums = rows * (q[3] + 2) * size_of(DType::kFloat32) + of_heads + 2 * kMebibyte;
  if (!deterministic) return aligned(sums);
  const int64_t chunk = query_chunk(q, limit);
  const int64_t workspace = sums + deterministic_workspace(q, chunk);
  if (chunk >= q[1]) return aligned(workspace);
  const int64_t keys = q[0] * q[1] * kv_heads * q[3];
  return 2 * aligned(keys * size_of(DType::kFloat32)) + 2 * aligned(keys * size_of(DType::kBFloat16)) +
         aligned(q[0] * q[2] * chunk * size_of(DType::kFloat32)) + aligned(workspace);
}

}  // namespace lighthouse::cuda_scratch
