#include "lighthouse/kernels/cuda_scratch.h"

#include <algorithm>
#include <string>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"

namespace lighthouse::cuda_scratch {
namespace {

constexpr int64_t kQueryStep = 128;       // chunks of queries are multiples of this
constexpr int64_t kWindowQueries = 4096;  // smallest limit of a chunk with a window: shorter chunks make many launches

/// The largest number of keys that `queries` consecutive queries see together; `window` as in AttentionMask.
int64_t keys_of(int64_t queries, int64_t length, int64_t window) {
  return window > 0 ? std::min(length, queries + window - 1) : length;
}

}  // namespace

int64_t attention_forward(DType dtype, const Shape& q, int64_t /*kv_heads*/, bool documents) {
  if (q[3] > kMaxHeadDim) {
    throw InputError("a head has " + std::to_string(q[3]) + " elements, and the GPU kernels take at most " +
                     std::to_string(kMaxHeadDim) + "; increase model.num_attention_heads, or set run.device to cpu");
  }
  if (dtype == DType::kFloat32) return 0;
  return kMebibyte + (documents ? document_places(q[0] * q[1]) + document_workspace(q[0] * q[1]) : 0);
}

int64_t deterministic_workspace(const Shape& q, int64_t queries, int64_t window) {
  return 2 * q[0] * q[2] * queries * keys_of(queries, q[1], window);
}

int64_t query_chunk(const Shape& q, int64_t limit, int64_t window) {
  if (window == 0 && deterministic_workspace(q, q[1]) <= limit) return q[1];
  const int64_t least = std::min(kQueryStep, q[1]);
  const int64_t smallest = deterministic_workspace(q, least, window);
  if (smallest > limit) {
    throw InputError("run.deterministic: memory.attention_workspace is " + format_bytes(limit) +
                     ", and attention's backward takes " + format_bytes(smallest) + " for 128 queries; set it to more");
  }
  if (window == 0) return limit / smallest * kQueryStep;
  int64_t chunk = divide_up(std::max(kWindowQueries, 4 * window), kQueryStep) * kQueryStep;
  while (chunk > least && deterministic_workspace(q, chunk, window) > limit) chunk -= kQueryStep;
  return std::min(chunk, q[1]);
}

int64_t attention_backward(DType dtype, const Shape& q, int64_t kv_heads, bool deterministic, int64_t limit,
                           bool documents, int64_t window) {
  const int64_t rows = q[0] * q[2] * q[1];
  if (dtype == DType::kFloat32) return aligned(rows * size_of(DType::kFloat32));
  const int64_t of_heads = kv_heads == q[2] ? 0 : 2 * rows * q[3] * size_of(DType::kBFloat16);
  const int64_t sums = rows * (q[3] + 2) * size_of(DType::kFloat32) + of_heads + 2 * kMebibyte;
  if (documents && deterministic) {
    throw InputError(
        "run.deterministic is true and data.document_mask is attention, and cuDNN's deterministic backward would take "
        "memory for each document as for a whole sequence; set run.deterministic to false, or run.dtype to float32");
  }
  if (documents) {  // and packed q, dq, dk, dv; the heads' own dk and dv are then float32
    const int64_t tokens = q[0] * q[1];
    const auto two = [&](int64_t heads) { return 2 * aligned(tokens * heads * q[3] * size_of(dtype)); };
    return document_places(tokens) + two(q[2]) + two(kv_heads) + aligned(sums + of_heads + document_workspace(tokens));
  }
  if (!deterministic) return aligned(sums);
  if (window >= q[1]) window = 0;  // hides no key
  const int64_t chunk = query_chunk(q, limit, window);
  const int64_t workspace = sums + deterministic_workspace(q, chunk, window);
  if (chunk >= q[1]) return aligned(workspace);
  const int64_t keys = q[0] * q[1] * kv_heads * q[3];
  return 2 * aligned(keys * size_of(DType::kFloat32)) + 2 * aligned(keys * size_of(DType::kBFloat16)) +
         aligned(q[0] * q[2] * chunk * size_of(DType::kFloat32)) + aligned(workspace);
}

int64_t dilated_scores(DType dtype, const Shape& q, int64_t kv_heads) {
  return aligned(q.numel() * size_of(dtype)) + aligned(q[1] * q[2] * size_of(DType::kFloat32)) +
         attention_forward(dtype, q, kv_heads);
}

}  // namespace lighthouse::cuda_scratch
