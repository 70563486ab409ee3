#include <algorithm>
#include <cmath>

#include "cpu_backend.h"

namespace lighthouse::cpu {
namespace {

// Rows whose contributions to dweight are summed together. The blocks depend only on the number of rows, so sums do not
// depend on the number of threads.
constexpr int64_t kMaxBlocks = 64;
int64_t rows_per_block(int64_t rows) {
  return std::max<int64_t>(16, (rows + kMaxBlocks - 1) / kMaxBlocks);
}
int64_t row_blocks(int64_t rows) {
  return (rows + rows_per_block(rows) - 1) / rows_per_block(rows);
}

float normalise_row(float* out, const float* x, const float* weight, int64_t columns, double epsilon) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < columns; ++c) sum += static_cast<double>(x[c]) * x[c];
  const auto rstd = static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(columns) + epsilon));
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) out[c] = x[c] * rstd * weight[c];
  return rstd;
}

// With y = x * rstd: dx += rstd (dout w - y mean(dout w y)), dweight += dout y.
void backward_row(float* dx, float* dweight, const float* dout, const float* x, const float* weight, float rstd,
                  int64_t columns) {
  double dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t c = 0; c < columns; ++c) dot += static_cast<double>(dout[c] * weight[c]) * x[c];
  const auto mean = static_cast<float>(dot * rstd / static_cast<double>(columns));
#pragma omp simd
  for (int64_t c = 0; c < columns; ++c) {
    const float y = x[c] * rstd;
    dx[c] += rstd * (dout[c] * weight[c] - y * mean);
    dweight[c] += dout[c] * y;
  }
}

}  // namespace

void CpuBackend::do_rmsnorm_forward(const Stream&, const Tensor& out, const Tensor& rstd, const Tensor& x,
                                    const Tensor& weight, double epsilon) {
  const int64_t rows = x.size(0), columns = x.size(1);
  float *o = out.data<float>(), *r = rstd.data<float>();
  const float *in = x.data<float>(), *w = weight.data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < rows; ++t) r[t] = normalise_row(o + t * columns, in + t * columns, w, columns, epsilon);
}

void CpuBackend::do_rmsnorm_residual_forward(const Stream&, const Tensor& sum, const Tensor& out, const Tensor& rstd,
                                             const Tensor& residual, const Tensor& x, const Tensor& weight,
                                             double epsilon) {
  const int64_t rows = x.size(0), columns = x.size(1);
  float *s = sum.data<float>(), *o = out.data<float>(), *r = rstd.data<float>();
  const float *old = residual.data<float>(), *in = x.data<float>(), *w = weight.data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < rows; ++t) {
    const int64_t row = t * columns;
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) s[row + c] = old[row + c] + in[row + c];
    r[t] = normalise_row(o + row, s + row, w, columns, epsilon);
  }
}

void CpuBackend::do_rmsnorm_backward(const Stream&, const Tensor& dx, const Tensor& dweight, const Tensor& scratch,
                                     const Tensor& dout, const Tensor& x, const Tensor& weight, const Tensor& rstd) {
  const int64_t rows = x.size(0), columns = x.size(1), block = rows_per_block(rows), blocks = row_blocks(rows);
  float *gradient = dx.data<float>(), *dw = dweight.data<float>();
  auto* partial = static_cast<float*>(scratch.raw());  // [blocks, C]
  const float *dy = dout.data<float>(), *in = x.data<float>(), *w = weight.data<float>(), *r = rstd.data<float>();
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (int64_t b = 0; b < blocks; ++b) {
      std::fill_n(partial + b * columns, columns, 0.0f);
      for (int64_t t = b * block; t < std::min(rows, (b + 1) * block); ++t) {
        const int64_t row = t * columns;
        backward_row(gradient + row, partial + b * columns, dy + row, in + row, w, r[t], columns);
      }
    }
#pragma omp for schedule(static)
    for (int64_t c = 0; c < columns; ++c) {
      float total = 0;
      for (int64_t b = 0; b < blocks; ++b) total += partial[b * columns + c];
      dw[c] += total;
    }
  }
}

int64_t CpuBackend::rmsnorm_backward_scratch(int64_t tokens, int64_t hidden_size) const {
  return row_blocks(tokens) * hidden_size * int64_t{sizeof(float)};
}

}  // namespace lighthouse::cpu
