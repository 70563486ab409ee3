#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu_backend.h"
#include "lighthouse/ops/check.h"
#include "scratch.h"
#include "vector_math.h"

namespace lighthouse::cpu {
namespace {

/// A head of the new token, rotated as rope_forward rotates.
void rotate_into(float* to, const float* head, const float* cos, const float* sin, int64_t half) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    to[i] = head[i] * cos[i] - head[i + half] * sin[i];
    to[i + half] = head[i + half] * cos[i] + head[i] * sin[i];
  }
}

float inner(const float* a, const float* b, int64_t size) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

/// Turns scores into exp(score - largest) and returns their sum.
double exponentiate(float* scores, int64_t count) {
  const float largest = *std::max_element(scores, scores + count);
  double total = 0;
  for (int64_t j = 0; j < count; ++j) {
    scores[j] = exp(scores[j] - largest);
    total += scores[j];
  }
  return total;
}

/// One query head: its rotated q against the first `count` rows of its group's keys and values, `stride` apart.
void attend(float* out, float* scores, const float* q, const float* k, const float* v, int64_t count, int64_t stride,
            int64_t head_dim) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  for (int64_t j = 0; j < count; ++j) scores[j] = scale * inner(q, k + j * stride, head_dim);
  const double total = exponentiate(scores, count);
  std::fill_n(out, head_dim, 0.0f);
  for (int64_t j = 0; j < count; ++j) {
    const float* row = v + j * stride;
#pragma omp simd
    for (int64_t d = 0; d < head_dim; ++d) out[d] += scores[j] * row[d];
  }
  const auto factor = static_cast<float>(1.0 / total);
  for (int64_t d = 0; d < head_dim; ++d) out[d] *= factor;
}

}  // namespace

void CpuBackend::do_cache_rows(const Stream&, const Tensor& cache, const Tensor& x) {
  const int64_t width = x.size(1) * x.size(2);
  for (int64_t row = 0; row < x.size(0); ++row) {
    std::copy_n(x.data<float>() + row * x.stride(0), width, cache.data<float>() + row * width);
  }
}

void CpuBackend::do_attention_decode(const Stream&, const Tensor& out, const Tensor& k_cache, const Tensor& v_cache,
                                     const Tensor& scratch, const Tensor& qkv, const Tensor& cos, const Tensor& sin,
                                     const Tensor& position, int64_t window) {
  const int64_t heads = out.size(0), head_dim = out.size(1), kv_heads = k_cache.size(1), context = k_cache.size(0);
  const int64_t row = *position.data<int32_t>(), half = head_dim / 2, stride = kv_heads * head_dim;
  require(row >= 0 && row < context, "attention_decode", {&k_cache, &position});
  ScratchCutter cutter(scratch.raw());
  float* q = cutter.take<float>(heads * head_dim);
  float* scores = cutter.take<float>(heads * context);
  const float* in = qkv.data<float>();
  const float *c = cos.data<float>() + row * half, *s = sin.data<float>() + row * half;
  float *k = k_cache.data<float>(), *v = v_cache.data<float>(), *o = out.data<float>();
  for (int64_t g = 0; g < kv_heads; ++g) {
    rotate_into(k + row * stride + g * head_dim, in + (heads + g) * head_dim, c, s, half);
    std::copy_n(in + (heads + kv_heads + g) * head_dim, head_dim, v + row * stride + g * head_dim);
  }
  const int64_t count = window > 0 ? std::min(window, row + 1) : row + 1, before = (row + 1 - count) * stride;
#pragma omp parallel for schedule(static)
  for (int64_t h = 0; h < heads; ++h) {
    const int64_t group = before + h / (heads / kv_heads) * head_dim;
    rotate_into(q + h * head_dim, in + h * head_dim, c, s, half);
    attend(o + h * head_dim, scores + h * context, q + h * head_dim, k + group, v + group, count, stride, head_dim);
  }
}

int64_t CpuBackend::attention_decode_scratch(const Shape& cache, int64_t heads) const {
  ScratchCutter counter(nullptr);
  counter.take<float>(heads * cache[2]);
  counter.take<float>(heads * cache[0]);
  return counter.used();
}

}  // namespace lighthouse::cpu
