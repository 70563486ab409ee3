#include <omp.h>

#include <algorithm>
#include <cmath>

#include "attention.h"
#include "blas.h"
#include "cpu_backend.h"
#include "heads.h"
#include "lighthouse/ops/check.h"
#include "scratch.h"
#include "vector_math.h"

namespace lighthouse::cpu {
namespace {

constexpr int64_t kBlock = 256;  // largest number of queries and of keys in a tile; its two matrices take 512 KiB

struct Tile {
  float* probabilities;  // [kBlock, kBlock]
  float* dscores;        // [kBlock, kBlock]

  explicit Tile(ScratchCutter& scratch)
      : probabilities(scratch.take<float>(kBlock * kBlock)), dscores(scratch.take<float>(kBlock * kBlock)) {}
};

struct HeadOperands {
  Matrix dq, dk, dv;
  ConstMatrix dout, q, k, v;
  const float* lse;
  const float* delta;  // [N], dout . out
  FirstKeys first_keys;
};

// Scores of queries [query, query + queries) by keys [key, key + keys) become probabilities exp(score - lse), and 0
// where the query does not see the key.
void recompute_probabilities(float* scores, const HeadOperands& head, int64_t query, int64_t queries, int64_t key,
                             int64_t keys) {
  for (int64_t i = 0; i < queries; ++i) {
    float* row = scores + i * keys;
    const int64_t seen = std::min(keys, query + i - key + 1);
    const int64_t hidden = std::clamp<int64_t>(head.first_keys[query + i] - key, 0, seen);
    const float shift = head.lse[query + i];
    std::fill(row, row + hidden, 0.0f);
#pragma omp simd
    for (int64_t j = hidden; j < seen; ++j) row[j] = exp(row[j] - shift);
    std::fill(row + seen, row + keys, 0.0f);
  }
}

// dscores holds dprobabilities and becomes probabilities * (dprobabilities - delta).
void softmax_backward(const Tile& tile, const float* delta, int64_t queries, int64_t keys) {
  for (int64_t i = 0; i < queries; ++i) {
    const float* p = tile.probabilities + i * keys;
    float* d = tile.dscores + i * keys;
    const float shift = delta[i];
#pragma omp simd
    for (int64_t j = 0; j < keys; ++j) d[j] = p[j] * (d[j] - shift);
  }
}

// Adds the contribution of one block of queries and one block of keys to dq, dk and dv: five products.
void backward_tile(const Tile& tile, const HeadOperands& head, int64_t query, int64_t queries, int64_t key,
                   int64_t keys, int64_t head_dim, bool first_of_dkv) {
  if (key + keys <= head.first_keys[query]) return;  // none of these queries sees any of these keys
  const bool diagonal = query == key;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  const ConstMatrix q = rows_from(head.q, query), dout = rows_from(head.dout, query);
  const ConstMatrix k = rows_from(head.k, key), v = rows_from(head.v, key);
  const ConstMatrix probabilities{tile.probabilities, keys}, dscores{tile.dscores, keys};
  const float keep_dkv = first_of_dkv ? 0.0f : 1.0f;

  multiply_transposed_b({tile.probabilities, keys}, q, k, queries, keys, head_dim, scale, 0.0f);
  recompute_probabilities(tile.probabilities, head, query, queries, key, keys);
  multiply_transposed_a(rows_from(head.dv, key), probabilities, dout, keys, head_dim, queries, 1.0f, keep_dkv);
  multiply_transposed_b({tile.dscores, keys}, dout, v, queries, keys, head_dim, 1.0f, 0.0f);
  softmax_backward(tile, head.delta + query, queries, keys);
  multiply_transposed_a(rows_from(head.dk, key), dscores, q, keys, head_dim, queries, scale, keep_dkv);
  multiply(rows_from(head.dq, query), dscores, k, queries, head_dim, keys, scale, diagonal ? 0.0f : 1.0f);
}

void compute_delta(float* delta, const Tensor& dout, const Tensor& out) {
  const int64_t length = out.size(1), heads = out.size(2), head_dim = out.size(3);
#pragma omp for schedule(static)
  for (int64_t row = 0; row < out.size(0) * heads * length; ++row) {
    const int64_t batch = row / (heads * length), head = row / length % heads, position = row % length;
    const float* a = rows_from(head_of(dout, batch, head), position).data;
    const float* b = rows_from(head_of(out, batch, head), position).data;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < head_dim; ++d) sum += a[d] * b[d];
    delta[row] = sum;
  }
}

struct Operands {
  const Tensor &dq, &dk, &dv, &dout, &lse, &q, &k, &v, &starts;
  int64_t window;  // 0: none
  const float* delta;

  HeadOperands head(int64_t batch, int64_t index) const {
    const int64_t heads = q.size(2), kv = index / (heads / k.size(2)), row = (batch * heads + index) * q.size(1);
    return {head_of(dq, batch, index),
            head_of(dk, batch, kv),
            head_of(dv, batch, kv),
            const_head_of(dout, batch, index, heads),
            const_head_of(q, batch, index, heads),
            const_head_of(k, batch, index, heads),
            const_head_of(v, batch, index, heads),
            lse.data<float>() + row,
            delta + row,
            {starts.defined() ? starts.data<int32_t>() + batch * q.size(1) : nullptr, window}};
  }
};

// Processes tiles diagonal by diagonal. Tiles of one diagonal share neither queries nor keys, so threads add to dq, dk
// and dv without conflicts, and each element's terms are added in the order of the diagonals, whichever thread does it.
void backward_diagonals(const Tile& tile, const Operands& operands) {
  const int64_t length = operands.q.size(1), head_dim = operands.q.size(3);
  const int64_t kv_heads = operands.k.size(2), group = operands.q.size(2) / kv_heads;
  const int64_t side = operands.window > 0 ? window_tile(operands.window) : kBlock;
  const int64_t blocks = (length + side - 1) / side, sequences = operands.q.size(0) * kv_heads;
  // A query sees keys at most window - 1 before it, hence none in tiles further back than this.
  const int64_t diagonals = operands.window > 0 ? std::min(blocks, (operands.window + side - 2) / side + 1) : blocks;
  for (int64_t diagonal = 0; diagonal < diagonals; ++diagonal) {
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < sequences * (blocks - diagonal); ++task) {
      const int64_t batch = task % sequences / kv_heads, kv = task % kv_heads, key = task / sequences * side;
      const int64_t query = key + diagonal * side;
      for (int64_t member = 0; member < group; ++member) {
        backward_tile(tile, operands.head(batch, kv * group + member), query, std::min(side, length - query), key,
                      std::min(side, length - key), head_dim, diagonal == 0 && member == 0);
      }
    }
  }
}

int64_t bytes_per_thread() {
  ScratchCutter counter(nullptr);
  Tile{counter};
  return counter.used();
}

int64_t delta_bytes(const Shape& q) {
  ScratchCutter counter(nullptr);
  counter.take<float>(q[0] * q[1] * q[2]);
  return counter.used();
}

}  // namespace

void CpuBackend::do_attention_backward(const Stream&, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                       const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                                       const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask) {
  check_starts("attention_backward", mask.documents.starts);
  require(scratch.bytes() >= delta_bytes(q.shape()) + bytes_per_thread(), "attention_backward", {&scratch, &q});
  const int64_t window = mask.window < q.size(1) ? mask.window : 0;  // such a window hides no key
  auto* memory = static_cast<std::byte*>(scratch.raw());
  auto* delta = static_cast<float*>(scratch.raw());
  const int64_t used = delta_bytes(q.shape()), piece = bytes_per_thread();
  const int threads = static_cast<int>(std::min<int64_t>(omp_get_max_threads(), (scratch.bytes() - used) / piece));
#pragma omp parallel num_threads(threads)
  {
    ScratchCutter cutter(memory + used + omp_get_thread_num() * piece);
    const Tile tile(cutter);
    compute_delta(delta, dout, out);
    backward_diagonals(tile, {dq, dk, dv, dout, lse, q, k, v, mask.documents.starts, window, delta});
  }
}

int64_t CpuBackend::attention_backward_scratch(const Shape& q, int64_t /*kv_heads*/, bool /*documents*/,
                                               int64_t /*window*/) const {
  return delta_bytes(q) + omp_get_max_threads() * bytes_per_thread();
}

}  // namespace lighthouse::cpu
