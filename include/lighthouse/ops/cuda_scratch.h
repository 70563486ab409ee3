// The scratch that the CUDA backend's operations want, in bytes: formulas of shapes alone, so that a run can be planned
// where there is no GPU. The backend itself uses them.
#pragma once

#include <algorithm>
#include <bit>
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

/// Blocks of rows, each with a share of dweight of its own: two for each multiprocessor of the largest GPUs there are.
constexpr int64_t kNormRowBlocks = 264;
constexpr int64_t norm_rows_per_block(int64_t rows) {
  return std::max<int64_t>(1, divide_up(rows, kNormRowBlocks));
}
constexpr int64_t norm_row_blocks(int64_t rows) {
  return divide_up(rows, norm_rows_per_block(rows));
}
constexpr int64_t rmsnorm_backward(int64_t tokens, int64_t hidden_size) {
  return norm_row_blocks(tokens) * hidden_size * size_of(DType::kFloat32);
}

constexpr int64_t kEmbeddingChunk = 64;        // sorted positions whose gradients one block adds
constexpr int64_t kEmbeddingPartialKinds = 2;  // sums that a chunk shares with those before and after it
/// What sorting takes: a second copy of tokens and positions, counts, alignment.
constexpr int64_t embedding_sort(int64_t tokens) {
  return 16 * tokens + kMebibyte;
}
constexpr int64_t embedding_partials(int64_t tokens, int64_t hidden_size) {
  return divide_up(tokens, kEmbeddingChunk) * kEmbeddingPartialKinds * hidden_size;
}
/// Positions, sorted tokens, sorted positions, the sums of chunks, and what sorting takes.
constexpr int64_t embedding_backward(int64_t tokens, int64_t hidden_size) {
  return 3 * aligned(tokens * size_of(DType::kInt32)) +
         aligned(embedding_partials(tokens, hidden_size) * size_of(DType::kFloat32)) + aligned(embedding_sort(tokens));
}

constexpr int64_t kSumBlock = 32768;  // elements that one block sums
constexpr int64_t sum_blocks(int64_t numel) {
  return divide_up(numel, kSumBlock);
}
constexpr int64_t reduction(int64_t numel) {
  return sum_blocks(numel) * size_of(DType::kFloat64);
}

constexpr int64_t kMaxHeadDim = 256;

/// Documents that cuDNN's graph is made for: of many counts one, so that few are made.
constexpr int64_t document_slots(int64_t documents) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(documents)));
}
constexpr int64_t kDocumentLists = 4;
/// The lengths of all documents that so many tokens can be, and where each begins in four kinds of tensors.
constexpr int64_t document_places(int64_t tokens) {
  const int64_t slots = document_slots(tokens);
  return aligned(slots * size_of(DType::kInt32)) + kDocumentLists * aligned((slots + 1) * int64_t{sizeof(int64_t)});
}

/// cuDNN's own for as many, and more than it takes: 9.19 wants 256 bytes a slot forward, 448 backward.
constexpr int64_t document_workspace(int64_t tokens) {
  return 512 * document_slots(tokens);
}

/// q [B, N, H, D]. Throws InputError if no GPU kernel takes heads of that size.
inline int64_t attention_forward(DType dtype, const Shape& q, int64_t /*kv_heads*/, bool documents = false) {
  if (q[3] > kMaxHeadDim) {
    throw InputError("a head has " + std::to_string(q[3]) + " elements, and on a GPU at most " +
                     std::to_string(kMaxHeadDim) +
                     " work; set model.num_attention_heads to more, or run.device to cpu");
  }
  if (dtype == DType::kFloat32) return 0;
  return kMebibyte + (documents ? document_places(q[0] * q[1]) + document_workspace(q[0] * q[1]) : 0);
}

/// The keys that `queries` consecutive queries see together, at most; `window` as in AttentionMask.
constexpr int64_t keys_of(int64_t queries, int64_t length, int64_t window) {
  return window > 0 ? std::min(length, queries + window - 1) : length;
}

/// cuDNN's deterministic backward keeps dq's parts of all pairs of blocks: 2 bytes for each query and key.
inline int64_t deterministic_workspace(const Shape& q, int64_t queries, int64_t window = 0) {
  return 2 * q[0] * q[2] * queries * keys_of(queries, q[1], window);
}

constexpr int64_t kQueryStep = 128;       // chunks of queries are multiples of it
constexpr int64_t kWindowQueries = 4096;  // of a chunk where there is a window, at least: fewer make many launches

/// Queries that the deterministic backward takes at a time: all N if their workspace is at most `limit`, else as many
/// as fit, a multiple of 128; with a window no more than four times as many as it is wide, or 4,096, because longer
/// chunks only waste workspace. Throws InputError if not even 128 fit.
inline int64_t query_chunk(const Shape& q, int64_t limit, int64_t window = 0) {
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

/// float32: the sums of dout * out [B, H, N]. bfloat16: cuDNN's float32 sums of dq and of dout * out, where heads share
/// keys also each head's own dk and dv, and its deterministic workspace; in chunks of queries also float32 sums and
/// bfloat16 parts of dk and dv.
inline int64_t attention_backward(DType dtype, const Shape& q, int64_t kv_heads, bool deterministic, int64_t limit,
                                  bool documents = false, int64_t window = 0) {
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
  if (window >= q[1]) window = 0;  // it hides nothing
  const int64_t chunk = query_chunk(q, limit, window);
  const int64_t workspace = sums + deterministic_workspace(q, chunk, window);
  if (chunk >= q[1]) return aligned(workspace);
  const int64_t keys = q[0] * q[1] * kv_heads * q[3];
  return 2 * aligned(keys * size_of(DType::kFloat32)) + 2 * aligned(keys * size_of(DType::kBFloat16)) +
         aligned(q[0] * q[2] * chunk * size_of(DType::kFloat32)) + aligned(workspace);
}

/// The outputs of one of the two attentions, its log-sum-exponentials of one batch entry, and what attention takes.
inline int64_t dilated_scores(DType dtype, const Shape& q, int64_t kv_heads) {
  return aligned(q.numel() * size_of(dtype)) + aligned(q[1] * q[2] * size_of(DType::kFloat32)) +
         attention_forward(dtype, q, kv_heads);
}

/// Parts of the cache [M, G, D] that blocks of a query head attend to, each on its own: some two blocks for each
/// multiprocessor of the largest GPUs, of 64 positions or more.
constexpr int64_t kMaxDecodeSplits = 264;
constexpr int64_t decode_splits(int64_t context, int64_t heads) {
  return std::clamp<int64_t>(divide_up(kMaxDecodeSplits, heads), 1, divide_up(context, 64));
}
/// Of each head's parts the sum of values, the largest score and the sum of exponentials.
inline int64_t attention_decode(const Shape& cache, int64_t heads) {
  return heads * decode_splits(cache[0], heads) * (cache[2] + 2) * size_of(DType::kFloat32);
}

}  // namespace lighthouse::cuda_scratch
