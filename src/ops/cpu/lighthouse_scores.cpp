#include <algorithm>
#include <cmath>
#include <limits>

#include "attention.h"
#include "cpu_backend.h"
#include "heads.h"
#include "lighthouse/ops/check.h"
#include "scratch.h"

namespace lighthouse::cpu {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The sum of squares is in float64, so that every device ranks the scores equally.
float norm_of(const float* x, int64_t size) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t d = 0; d < size; ++d) sum += static_cast<double>(x[d]) * x[d];
  return std::sqrt(static_cast<float>(sum));
}

// The largest norm under an entry of level 1, over the heads that share a selection. NaN loses every comparison.
float largest_norm(const Tensor& x, int64_t batch, int64_t first_head, int64_t heads, int64_t begin, int64_t end) {
  float largest = kLowest;
  for (int64_t token = begin; token < end; ++token) {
    for (int64_t head = first_head; head < first_head + heads; ++head) {
      const float norm = norm_of(rows_from(head_of(x, batch, head), token).data, x.size(3));
      largest = norm > largest ? norm : largest;
    }
  }
  return largest;
}

// scores [B, G, E'] of x [B, N, X, D], X a multiple of G: level 1 from the norms, each coarser level from the one
// below.
void pool_norms(const Tensor& scores, const Tensor& x, const LighthouseShape& shape) {
  const int64_t groups = scores.size(1), share = x.size(2) / groups, pooling = shape.pooling_factor;
  const int64_t coarsest = shape.levels - 1, top = shape.entries(coarsest), scored = shape.scored_entries();
#pragma omp parallel for schedule(static)
  for (int64_t task = 0; task < scores.size(0) * groups * top; ++task) {
    const int64_t sequence = task / top, batch = sequence / groups, group = sequence % groups;
    float* out = scores.data<float>() + sequence * scored;
    int64_t begin = task % top * shape.span(coarsest - 1), count = shape.span(coarsest - 1);
    for (int64_t i = begin; i < begin + count; ++i) {
      out[i] = largest_norm(x, batch, group * share, share, i * pooling, (i + 1) * pooling);
    }
    for (int64_t level = 2; level <= coarsest; ++level) {
      const float* below = out;
      out += shape.entries(level - 1);
      begin /= pooling;
      count /= pooling;
      for (int64_t i = begin; i < begin + count; ++i) {
        float largest = kLowest;
        for (int64_t c = i * pooling; c < (i + 1) * pooling; ++c) largest = below[c] > largest ? below[c] : largest;
        out[i] = largest;
      }
    }
  }
}

struct DilatedScratch {
  float* out;  // [B, N, H, D]
  float* lse;  // [B, H, N / dilation]
  std::byte* attention;
  int64_t used;

  DilatedScratch(void* memory, const Shape& q, int64_t dilation) {
    ScratchCutter cutter(memory);
    out = cutter.take<float>(q.numel());
    lse = cutter.take<float>(q[0] * q[2] * (q[1] / dilation));
    attention = cutter.take<std::byte>(0);
    used = cutter.used();
  }
};

}  // namespace

void CpuBackend::do_lighthouse_norm_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& q,
                                           const Tensor& k, const LighthouseShape& shape) {
  pool_norms(s_q, q, shape);
  pool_norms(s_k, k, shape);
}

void CpuBackend::do_lighthouse_dilated_scores(const Stream&, const Tensor& s_q, const Tensor& s_k,
                                              const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                              int64_t dilation, const LighthouseShape& shape) {
  require(scratch.bytes() >= DilatedScratch(nullptr, q.shape(), dilation).used, "lighthouse_dilated_scores",
          {&scratch, &q});
  const DilatedScratch pieces(scratch.raw(), q.shape(), dilation);
  const Tensor out(pieces.out, q.shape(), DType::kFloat32);
  const Tensor lse(pieces.lse, {q.size(0), q.size(2), q.size(1) / dilation}, DType::kFloat32);
  const Tensor rest(pieces.attention, {scratch.bytes() - pieces.used}, DType::kUInt8);
  const auto score = [&](const Tensor& scores, const Tensor& queries, const Tensor& keys) {
    for (int64_t stream = 0; stream < dilation; ++stream) {
      causal_attention(out.every(1, stream, dilation), lse, rest, queries.every(1, stream, dilation),
                       keys.every(1, stream, dilation), v.every(1, stream, dilation));
    }
    pool_norms(scores, out, shape);
  };
  score(s_q, q, k);
  score(s_k, k, q);
}

int64_t CpuBackend::lighthouse_dilated_scores_scratch(const Shape& q, int64_t /*kv_heads*/, int64_t dilation,
                                                      const LighthouseShape& /*shape*/) const {
  return DilatedScratch(nullptr, q, dilation).used + causal_attention_scratch(q[3]);
}

}  // namespace lighthouse::cpu
