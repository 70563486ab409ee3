// Bytes of scratch that the CUDA backend's operations take, as formulas of shapes alone: a run can be planned without a
// GPU. The backend uses the same formulas.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "lighthouse/core/dtype.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/core/units.h"

namespace lighthouse::cuda_scratch {

constexpr int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
/// Rounded up to a multiple of 256, the alignment that cuDNN and cuBLASLt are fastest with.
constexpr int64_t aligned(int64_t bytes) {
  return divide_up(bytes, 256) * 256;
}

constexpr int64_t kLogitsBytes = 2 * kGibibyte;

/// Workspace of cuBLASLt, for any product.
constexpr int64_t linear() {
  return 32 * kMebibyte;
}

/// Blocks of rows, each with its own partial sum of dweight: two for each multiprocessor of the largest GPUs.
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
constexpr int64_t kEmbeddingPartialKinds = 2;  // sums that a chunk shares with the chunks before and after it
/// Bytes for sorting: a second copy of tokens and positions, counts, alignment.
constexpr int64_t embedding_sort(int64_t tokens) {
  return 16 * tokens + kMebibyte;
}
constexpr int64_t embedding_partials(int64_t tokens, int64_t hidden_size) {
  return divide_up(tokens, kEmbeddingChunk) * kEmbeddingPartialKinds * hidden_size;
}
/// Positions, sorted tokens, sorted positions, the partial sums of chunks, and the bytes for sorting.
constexpr int64_t embedding_backward(int64_t tokens, int64_t hidden_size) {
  return 3 * aligned(tokens * size_of(DType::kInt32)) +
         aligned(embedding_partials(tokens, hidden_size) * size_of(DType::kFloat32)) + aligned(embedding_sort(tokens));
}

constexpr int64_t kSumBlock = 32768;  // elements that one thread block sums
constexpr int64_t sum_blocks(int64_t numel) {
  return divide_up(numel, kSumBlock);
}
constexpr int64_t reduction(int64_t numel) {
  return sum_blocks(numel) * size_of(DType::kFloat64);
}

constexpr int64_t kMaxHeadDim = 256;

/// The number of documents that cuDNN's graph is built for: a power of two, so that few graphs are built.
constexpr int64_t document_slots(int64_t documents) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(documents)));
}
constexpr int64_t kDocumentLists = 4;
/// The lengths of all documents (at most one a token), and their offsets in four kinds of tensors.
constexpr int64_t document_places(int64_t tokens) {
  const int64_t slots = document_slots(tokens);
  return aligned(slots * size_of(DType::kInt32)) + kDocumentLists * aligned((slots + 1) * int64_t{sizeof(int64_t)});
}

/// Workspace of cuDNN for the documents, with a margin: 9.19 takes 256 bytes a slot forward, 448 backward.
constexpr int64_t document_workspace(int64_t tokens) {
  return 512 * document_slots(tokens);
}

/// q [B, N, H, D]. Throws InputError if no GPU kernel takes heads of that size.
int64_t attention_forward(DType dtype, const Shape& q, int64_t kv_heads, bool documents = false);

/// cuDNN's deterministic backward keeps the parts of dq of all pairs of blocks: 2 bytes for each query and key.
int64_t deterministic_workspace(const Shape& q, int64_t queries, int64_t window = 0);

/// Number of queries that one call of the deterministic backward processes: all N if their workspace is at most
/// `limit`, else as many as fit, a multiple of 128. With a window: at most four times its width or 4,096, because
/// longer chunks only waste workspace. Throws InputError if not even 128 fit.
int64_t query_chunk(const Shape& q, int64_t limit, int64_t window = 0);

/// `limit`: the largest deterministic workspace. float32: the sums of dout * out [B, H, N]. bfloat16: cuDNN's float32
/// sums of dq and of dout * out, each head's own dk and dv where heads share keys, and the deterministic workspace; in
/// chunks of queries also float32 sums and bfloat16 parts of dk and dv. Throws InputError for documents with
/// `deterministic` in bfloat16.
int64_t attention_backward(DType dtype, const Shape& q, int64_t kv_heads, bool deterministic, int64_t limit,
                           bool documents = false, int64_t window = 0);

/// The output of one of the two attentions, its log-sum-exponentials of one batch entry, and attention's scratch.
int64_t dilated_scores(DType dtype, const Shape& q, int64_t kv_heads);

/// Parts that the cache [M, G, D] is split into for a query head, one thread block each: about two blocks for each
/// multiprocessor of the largest GPUs, of at least 64 positions.
constexpr int64_t kMaxDecodeSplits = 264;
constexpr int64_t decode_splits(int64_t context, int64_t heads) {
  return std::clamp<int64_t>(divide_up(kMaxDecodeSplits, heads), 1, divide_up(context, 64));
}
/// For each part of each head: the sum of values, the largest score and the sum of exponentials.
inline int64_t attention_decode(const Shape& cache, int64_t heads) {
  return heads * decode_splits(cache[0], heads) * (cache[2] + 2) * size_of(DType::kFloat32);
}

}  // namespace lighthouse::cuda_scratch
