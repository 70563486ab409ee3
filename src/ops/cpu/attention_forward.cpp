#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention.h"
#include "blas.h"
#include "cpu_backend.h"
#include "heads.h"
#include "lighthouse/ops/check.h"
#include "scratch.h"
#include "vector_math.h"

namespace lighthouse::cpu {
namespace {

// A block of scores takes 512 KiB: it stays in the second-level cache between the two products that use it.
constexpr int64_t kQueries = 256;
constexpr int64_t kKeys = 512;

// A thread's state for one block of queries while it iterates over the blocks of keys.
struct QueryBlock {
  float* scores;  // [kQueries, kKeys]
  float* sum;     // [kQueries, D], sum of exp(score - peak) v
  float* peak;    // [kQueries], the largest score so far
  double* total;  // [kQueries], sum of exp(score - peak)

  QueryBlock(ScratchCutter& scratch, int64_t head_dim)
      : scores(scratch.take<float>(kQueries * kKeys)),
        sum(scratch.take<float>(kQueries * head_dim)),
        peak(scratch.take<float>(kQueries)),
        total(scratch.take<double>(kQueries)) {}
};

// Turns the scores of a row from `hidden` to `seen` into exp(score - peak) and the rest into 0. Returns the sum; `peak`
// becomes the larger of itself and the row's largest score.
float exponentiate_row(float* scores, int64_t hidden, int64_t seen, int64_t width, float& peak) {
  float largest = peak;
#pragma omp simd reduction(max : largest)
  for (int64_t j = hidden; j < seen; ++j) largest = scores[j] > largest ? scores[j] : largest;
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t j = hidden; j < seen; ++j) {
    scores[j] = exp(scores[j] - largest);
    total += scores[j];
  }
  std::fill(scores, scores + hidden, 0.0f);
  std::fill(scores + seen, scores + width, 0.0f);
  peak = largest;
  return total;
}

// The online softmax: adds the block of keys that begins at `key` to the running sums (Milakov and Gimelshein,
// 2018).
void absorb_scores(const QueryBlock& block, int64_t first, int64_t queries, int64_t key, int64_t keys,
                   const FirstKeys& first_keys, int64_t head_dim) {
  for (int64_t i = 0; i < queries; ++i) {
    const float old_peak = block.peak[i];
    const int64_t seen = std::min(keys, first + i - key + 1);
    const int64_t hidden = std::max<int64_t>(0, first_keys[first + i] - key);
    if (hidden >= seen) {  // the query sees none of these keys
      std::fill_n(block.scores + i * keys, keys, 0.0f);
      continue;
    }
    const float total = exponentiate_row(block.scores + i * keys, hidden, seen, keys, block.peak[i]);
    const float shrink = exp(old_peak - block.peak[i]);
    block.total[i] = block.total[i] * shrink + total;
    if (shrink == 1.0f) continue;
    float* sum = block.sum + i * head_dim;
#pragma omp simd
    for (int64_t d = 0; d < head_dim; ++d) sum[d] *= shrink;
  }
}

void write_output(const QueryBlock& block, float* out, int64_t stride, float* lse, int64_t queries, int64_t head_dim) {
  for (int64_t i = 0; i < queries; ++i) {
    const auto factor = static_cast<float>(1.0 / block.total[i]);
    const float* sum = block.sum + i * head_dim;
    float* row = out + i * stride;
#pragma omp simd
    for (int64_t d = 0; d < head_dim; ++d) row[d] = sum[d] * factor;
    lse[i] = static_cast<float>(block.peak[i] + std::log(block.total[i]));
  }
}

struct HeadOperands {
  Matrix out;
  ConstMatrix q, k, v;
  float* lse;
  FirstKeys first_keys;
};

void attend(const QueryBlock& block, const HeadOperands& head, int64_t first, int64_t queries, int64_t head_dim) {
  const int64_t end = first + queries;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  std::fill_n(block.sum, queries * head_dim, 0.0f);
  std::fill_n(block.peak, queries, -std::numeric_limits<float>::infinity());
  std::fill_n(block.total, queries, 0.0);
  // Blocks of keys begin at multiples of their size, so that sums do not depend on where documents start. With a window
  // they begin at its first key, so that few scores outside the window are computed.
  const int64_t least = head.first_keys[first];
  for (int64_t key = head.first_keys.window > 0 ? least : least / kKeys * kKeys; key < end; key += kKeys) {
    const int64_t keys = std::min(kKeys, end - key);
    multiply_transposed_b({block.scores, keys}, rows_from(head.q, first), rows_from(head.k, key), queries, keys,
                          head_dim, scale, 0.0f);
    absorb_scores(block, first, queries, key, keys, head.first_keys, head_dim);
    multiply({block.sum, head_dim}, {block.scores, keys}, rows_from(head.v, key), queries, head_dim, keys, 1.0f, 1.0f);
  }
  write_output(block, head.out.data + first * head.out.stride, head.out.stride, head.lse + first, queries, head_dim);
}

int64_t bytes_per_thread(int64_t head_dim) {
  ScratchCutter counter(nullptr);
  QueryBlock(counter, head_dim);
  return counter.used();
}

}  // namespace

int64_t causal_attention_scratch(int64_t head_dim) {
  return omp_get_max_threads() * bytes_per_thread(head_dim);
}

void check_starts(const char* operation, const Tensor& starts) {
  if (!starts.defined()) return;
  const int64_t length = starts.size(1);
  const int32_t* start = starts.data<int32_t>();
  for (int64_t i = 0; i < starts.numel(); ++i) {
    const int64_t position = i % length, least = position == 0 ? 0 : start[i - 1];
    require(start[i] >= least && start[i] <= position, operation, {&starts});
  }
}

void causal_attention(const Tensor& out, const Tensor& lse, const Tensor& scratch, const Tensor& q, const Tensor& k,
                      const Tensor& v, const Tensor& starts, int64_t window) {
  const int64_t length = out.size(1), heads = out.size(2), head_dim = out.size(3);
  const int64_t narrowed = window < length ? window : 0;  // such a window hides no key
  const int64_t tile = narrowed > 0 ? window_tile(narrowed) : kQueries;
  const int64_t blocks = (length + tile - 1) / tile, sequences = out.size(0) * heads;
  const int64_t piece = bytes_per_thread(head_dim);
  require(scratch.bytes() >= piece, "causal attention", {&out, &scratch, &q, &k, &v});
  const int threads = static_cast<int>(std::min<int64_t>(omp_get_max_threads(), scratch.bytes() / piece));
  auto* memory = static_cast<std::byte*>(scratch.raw());
#pragma omp parallel num_threads(threads)
  {
    ScratchCutter cutter(memory + omp_get_thread_num() * piece);
    const QueryBlock block(cutter, head_dim);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < sequences * blocks; ++task) {
      const int64_t first = (blocks - 1 - task / sequences) * tile;  // longest rows first, for load balance
      const int64_t batch = task % sequences / heads, head = task % heads;
      const HeadOperands operands{head_of(out, batch, head),
                                  const_head_of(q, batch, head, heads),
                                  const_head_of(k, batch, head, heads),
                                  const_head_of(v, batch, head, heads),
                                  lse.data<float>() + (batch * heads + head) * length,
                                  {starts.defined() ? starts.data<int32_t>() + batch * length : nullptr, narrowed}};
      attend(block, operands, first, std::min(tile, length - first), head_dim);
    }
  }
}

int64_t CpuBackend::do_find_documents(const Stream&, const Documents& documents, const Tensor& tokens,
                                      int32_t end_of_text) {
  const int64_t length = tokens.size(1), total = tokens.numel();
  const int32_t* token = tokens.data<int32_t>();
  int32_t *start = documents.starts.data<int32_t>(), *bound = documents.bounds.data<int32_t>();
  int64_t count = 0;
  for (int64_t i = 0; i < total; ++i) {
    if (i % length == 0 || token[i - 1] == end_of_text) bound[count++] = static_cast<int32_t>(i);
    start[i] = bound[count - 1] - static_cast<int32_t>(i / length * length);
  }
  std::fill(bound + count, bound + total + 1, static_cast<int32_t>(total));
  bound[total + 1] = static_cast<int32_t>(count);
  return count;
}

void CpuBackend::do_attention_forward(const Stream&, const Tensor& out, const Tensor& lse, const Tensor& scratch,
                                      const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask) {
  check_starts("attention_forward", mask.documents.starts);
  causal_attention(out, lse, scratch, q, k, v, mask.documents.starts, mask.window);
}

int64_t CpuBackend::attention_forward_scratch(const Shape& q, int64_t /*kv_heads*/, bool /*documents*/,
                                              int64_t /*window*/) const {
  return causal_attention_scratch(q[3]);
}

}  // namespace lighthouse::cpu
