#include <algorithm>

#include "blas.h"
#include "cpu_backend.h"

namespace lighthouse::cpu {
namespace {

// The tiles of an output. One thread computes a tile as one product over the whole inner dimension. OpenBLAS's own
// threading is slower and rounds differently for each number of threads.
struct Tiling {
  int64_t rows, columns;  // of the output
  int64_t tile_rows = 256, tile_columns = 512;

  Tiling(int64_t output_rows, int64_t output_columns) : rows(output_rows), columns(output_columns) {
    // A small output (the gradient of a narrow layer's weights) has smaller tiles, so that every thread gets some.
    while (count() < 16 && tile_rows * tile_columns > 64 * 64) {
      (tile_columns > tile_rows ? tile_columns : tile_rows) /= 2;
    }
  }
  int64_t tiles_across() const { return (columns + tile_columns - 1) / tile_columns; }
  int64_t count() const { return (rows + tile_rows - 1) / tile_rows * tiles_across(); }
};

template <typename Function>
void for_each_tile(const Tiling& tiling, const Function& function) {
#pragma omp parallel for schedule(dynamic)
  for (int64_t tile = 0; tile < tiling.count(); ++tile) {
    const int64_t row = tile / tiling.tiles_across() * tiling.tile_rows;
    const int64_t column = tile % tiling.tiles_across() * tiling.tile_columns;
    function(row, column, std::min(tiling.tile_rows, tiling.rows - row),
             std::min(tiling.tile_columns, tiling.columns - column));
  }
}

}  // namespace

void CpuBackend::do_linear_forward(const Stream&, const Tensor& out, const Tensor&, const Tensor& x,
                                   const Tensor& weight) {
  const int64_t outputs = out.size(1), inputs = x.size(1);
  float* o = out.data<float>();
  const float *in = x.data<float>(), *w = weight.data<float>();
  for_each_tile({out.size(0), outputs}, [=](int64_t row, int64_t column, int64_t m, int64_t n) {
    multiply_transposed_b({o + row * outputs + column, outputs}, {in + row * inputs, inputs},
                          {w + column * inputs, inputs}, m, n, inputs, 1.0f, 0.0f);
  });
}

void CpuBackend::do_linear_backward_input(const Stream&, const Tensor& dx, const Tensor&, const Tensor& dout,
                                          const Tensor& weight) {
  const int64_t outputs = dout.size(1), inputs = dx.size(1);
  float* d = dx.data<float>();
  const float *dy = dout.data<float>(), *w = weight.data<float>();
  for_each_tile({dx.size(0), inputs}, [=](int64_t row, int64_t column, int64_t m, int64_t n) {
    multiply({d + row * inputs + column, inputs}, {dy + row * outputs, outputs}, {w + column, inputs}, m, n, outputs,
             1.0f, 0.0f);
  });
}

void CpuBackend::do_linear_backward_weight(const Stream&, const Tensor& dweight, const Tensor&, const Tensor& dout,
                                           const Tensor& x) {
  const int64_t outputs = dout.size(1), inputs = x.size(1), tokens = x.size(0);
  float* dw = dweight.data<float>();
  const float *dy = dout.data<float>(), *in = x.data<float>();
  for_each_tile({outputs, inputs}, [=](int64_t row, int64_t column, int64_t m, int64_t n) {
    multiply_transposed_a({dw + row * inputs + column, inputs}, {dy + row, outputs}, {in + column, inputs}, m, n,
                          tokens, 1.0f, 1.0f);
  });
}

}  // namespace lighthouse::cpu
