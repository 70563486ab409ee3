// Causal attention by its definition: double precision, one row at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

namespace lighthouse {

struct AttentionSizes {
  int64_t batch, length, heads, kv_heads, head_dim;

  int64_t q_at(int64_t b, int64_t n, int64_t h) const { return ((b * length + n) * heads + h) * head_dim; }
  int64_t kv_at(int64_t b, int64_t n, int64_t h) const {
    return ((b * length + n) * kv_heads + h / (heads / kv_heads)) * head_dim;
  }
};

struct AttentionReference {
  std::vector<double> out, lse, dq, dk, dv;
};

inline double inner(const double* a, const double* b, int64_t size) {
  double sum = 0;
  for (int64_t d = 0; d < size; ++d) sum += a[d] * b[d];
  return sum;
}

/// The output, and the gradients if `dout` is not empty. A query sees its own key and the `window` - 1 before it, or
/// all before it if `window` is 0; none before start_of(batch, query).
inline AttentionReference reference_attention(const AttentionSizes& s, const std::vector<double>& q,
                                              const std::vector<double>& k, const std::vector<double>& v,
                                              const std::vector<double>& dout, int64_t window = 0,
                                              const std::function<int64_t(int64_t, int64_t)>& start_of = {}) {
  AttentionReference r{std::vector<double>(q.size(), 0.0),
                       {},
                       std::vector<double>(q.size(), 0.0),
                       std::vector<double>(k.size(), 0.0),
                       std::vector<double>(v.size(), 0.0)};
  const double scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
  std::vector<double> p(static_cast<size_t>(s.length));
  for (int64_t row = 0; row < s.batch * s.heads * s.length; ++row) {
    const int64_t b = row / (s.heads * s.length), h = row / s.length % s.heads, i = row % s.length;
    const int64_t at = s.q_at(b, i, h);
    const int64_t first = std::max(start_of ? start_of(b, i) : 0, window > 0 ? i - window + 1 : 0);
    double peak = -1e300, sum = 0;
    for (int64_t j = first; j <= i; ++j)
      peak = std::max(peak, p[j] = scale * inner(&q[at], &k[s.kv_at(b, j, h)], s.head_dim));
    for (int64_t j = first; j <= i; ++j) sum += p[j] = std::exp(p[j] - peak);
    r.lse.push_back(peak + std::log(sum));
    for (int64_t j = first; j <= i; ++j) {
      p[j] /= sum;
      for (int64_t d = 0; d < s.head_dim; ++d) r.out[at + d] += p[j] * v[s.kv_at(b, j, h) + d];
    }
    if (dout.empty()) continue;
    double mean = 0;  // of the gradients by the probabilities
    for (int64_t j = first; j <= i; ++j) mean += p[j] * inner(&dout[at], &v[s.kv_at(b, j, h)], s.head_dim);
    for (int64_t j = first; j <= i; ++j) {
      const int64_t other = s.kv_at(b, j, h);
      const double ds = scale * p[j] * (inner(&dout[at], &v[other], s.head_dim) - mean);
      for (int64_t d = 0; d < s.head_dim; ++d) {
        r.dv[other + d] += p[j] * dout[at + d];
        r.dq[at + d] += ds * k[other + d];
        r.dk[other + d] += ds * q[at + d];
      }
    }
  }
  return r;
}

}  // namespace lighthouse
