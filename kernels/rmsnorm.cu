// RMSNorm. The registers of a team of threads hold a row, so that each tensor is read or written once.
#include <algorithm>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

// Packs of a row in one thread: four, or eight single elements.
template <int kSize>
inline constexpr int kPacksOf = kSize == 1 ? 8 : 4;

constexpr int kMaxTeam = 512;       // threads of a row: leaves 128 registers for each
constexpr int kForwardBlock = 128;  // threads, for several rows if a row takes fewer
constexpr int kBackwardBlock = 256;
constexpr int kLongBlock = 512;  // for rows that do not fit into registers

// The threads of a row: a power of two times a warp; 0 if the largest team cannot hold the row.
template <int kSize>
int team_of(int64_t columns) {
  int team = kWarp;
  while (team < kMaxTeam && int64_t{team} * kPacksOf<kSize> * kSize < columns) team *= 2;
  return int64_t{team} * kPacksOf<kSize> * kSize < columns ? 0 : team;
}

dim3 block_of(int team, int threads) {
  return {static_cast<unsigned>(team), static_cast<unsigned>(std::max(1, threads / team))};
}

// The sum over a row's threads, in each of them. All threads of the block call this, also those without a row.
__device__ inline float row_sum(float x) {
  __shared__ float of_warps[kMaxTeam / kWarp];
  return team_sum(x, of_warps);
}

// A thread's packs of a row, a team apart.
template <typename T, int kSize>
struct Share {
  static constexpr int kPacks = kPacksOf<kSize>;
  Words<T, kSize> packs[kPacks];

  static __device__ int column(int pack) { return static_cast<int>(pack * blockDim.x + threadIdx.x) * kSize; }

  __device__ void load(const T* row, int columns) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      packs[p].clear();
      if (column(p) < columns) packs[p] = load_words<T, kSize>(row + column(p));
    }
  }
  __device__ void store(T* row, int columns) const {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (column(p) < columns) store_words(row + column(p), packs[p]);
    }
  }
  __device__ float at(int pack, int i) const {
    return packs[pack].at(i);
  }
  // Element i of pack p becomes function(p, i).
  template <typename Function>
  __device__ void assign(const Function& function) {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      float values[kSize];
#pragma unroll
      for (int i = 0; i < kSize; ++i) values[i] = function(p, i);
      packs[p].set(values);
    }
  }
  __device__ void forget_conversions() {
#pragma unroll
    for (auto& pack : packs) pack.forget_conversions();
  }
};

template <typename T>
struct ForwardOperands {
  T *sum, *out;
  float* rstd;
  const T *residual, *x, *weight;
  float epsilon;
  int64_t rows;
  int columns;
};

__device__ inline float rstd_of(float squares, int columns, float epsilon) {
  return 1.0f / sqrtf(squares / static_cast<float>(columns) + epsilon);
}

// Normalizes the rounded sum. Both kernels call this, so a norm recomputed from the stored sum has the same
// bits.
template <typename T, int kSize>
__device__ void normalise(const ForwardOperands<T>& operands, int64_t row, Share<T, kSize>& x) {
  float squares = 0;
#pragma unroll
  for (int p = 0; p < x.kPacks; ++p) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) squares = __fmaf_rn(x.at(p, i), x.at(p, i), squares);
  }
  const float rstd = rstd_of(row_sum(squares), operands.columns, operands.epsilon);
  if (row >= operands.rows) return;
  Share<T, kSize> weight;
  weight.load(operands.weight, operands.columns);
  x.assign([&](int p, int i) { return x.at(p, i) * rstd * weight.at(p, i); });
  x.store(operands.out + row * operands.columns, operands.columns);
  if (threadIdx.x == 0) operands.rstd[row] = rstd;
}

template <typename T, int kSize, bool kResidual>
__global__ void __launch_bounds__(kMaxTeam) forward_kernel(ForwardOperands<T> operands) {
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  const int columns = row < operands.rows ? operands.columns : 0;  // teams without a row take part in barriers
  const int64_t begin = row * operands.columns;
  Share<T, kSize> x;
  x.load(operands.x + begin, columns);
  if constexpr (kResidual) {
    Share<T, kSize> residual;
    residual.load(operands.residual + begin, columns);
    x.assign([&](int p, int i) { return residual.at(p, i) + x.at(p, i); });
    x.store(operands.sum + begin, columns);
  }
  normalise(operands, row, x);
}

// Reads a row twice, because it does not fit into registers.
template <typename T, bool kResidual>
__global__ void __launch_bounds__(kLongBlock) long_forward_kernel(ForwardOperands<T> operands) {
  const int64_t begin = int64_t{blockIdx.x} * operands.columns;
  const T* normed = kResidual ? operands.sum : operands.x;
  float squares = 0;
  for (int column = static_cast<int>(threadIdx.x); column < operands.columns; column += kLongBlock) {
    if constexpr (kResidual) {
      const float sum = to_float(operands.residual[begin + column]) + to_float(operands.x[begin + column]);
      operands.sum[begin + column] = from_float<T>(sum);
    }
    const float x = to_float(normed[begin + column]);
    squares = __fmaf_rn(x, x, squares);
  }
  const float rstd = rstd_of(row_sum(squares), operands.columns, operands.epsilon);
  for (int column = static_cast<int>(threadIdx.x); column < operands.columns; column += kLongBlock) {
    const float x = to_float(normed[begin + column]);
    operands.out[begin + column] = from_float<T>(x * rstd * to_float(operands.weight[column]));
  }
  if (threadIdx.x == 0) operands.rstd[blockIdx.x] = rstd;
}

template <typename T, int kSize, bool kResidual>
void launch_forward(const Stream& stream, const ForwardOperands<T>& operands) {
  if (operands.rows == 0 || operands.columns == 0) return;
  const int team = team_of<kSize>(operands.columns);
  if (team == 0) {
    const auto grid = static_cast<unsigned>(operands.rows);
    long_forward_kernel<T, kResidual><<<grid, kLongBlock, 0, native(stream)>>>(operands);
  } else {
    const dim3 block = block_of(team, kForwardBlock);
    const auto grid = static_cast<unsigned>(ceil_div(operands.rows, block.y));
    forward_kernel<T, kSize, kResidual><<<grid, block, 0, native(stream)>>>(operands);
  }
  LIGHTHOUSE_LAUNCHED("rmsnorm_forward");
}

// ---- Backward ----

template <typename T>
struct BackwardOperands {
  T* dx;
  float* partial;  // [norm_row_blocks(rows), C], of dweight
  const T *dout, *x, *weight;
  const float* rstd;
  int64_t rows, rows_per_block;
  int columns;
};

// With y = x * rstd: dx += rstd (dout w - y mean(dout w y)), dweight += dout y.
__device__ inline float dx_of(float dx, float dout, float weight, float y, float rstd, float mean) {
  return dx + rstd * (dout * weight - y * mean);
}

// Writes to `dweight` the thread's elements of the sum over its team's rows.
template <typename T, int kSize>
__device__ void backward_rows(const BackwardOperands<T>& operands, float (&dweight)[kPacksOf<kSize>][kSize]) {
  using Part = Share<T, kSize>;
  Part weight;
  weight.load(operands.weight, operands.columns);
  const int64_t begin = blockIdx.x * operands.rows_per_block;
  const int64_t end = min(operands.rows, begin + operands.rows_per_block);
  for (int64_t first = begin; first < end; first += blockDim.y) {
    const int64_t row = first + threadIdx.y, offset = row * operands.columns;
    const int columns = row < end ? operands.columns : 0;  // teams without a row take part in barriers
    Part dout, x, dx;
    dout.load(operands.dout + offset, columns);
    x.load(operands.x + offset, columns);
    dx.load(operands.dx + offset, columns);
    const float rstd = row < end ? operands.rstd[row] : 0.0f;
    float dot = 0;
#pragma unroll
    for (int p = 0; p < Part::kPacks; ++p) {
#pragma unroll
      for (int i = 0; i < kSize; ++i) dot += dout.at(p, i) * weight.at(p, i) * x.at(p, i);
    }
    const float mean = row_sum(dot) * rstd / static_cast<float>(operands.columns);
    weight.forget_conversions();
    dout.forget_conversions();
    x.forget_conversions();
    dx.assign([&](int p, int i) {
      const float y = x.at(p, i) * rstd;
      dweight[p][i] += dout.at(p, i) * y;
      return dx_of(dx.at(p, i), dout.at(p, i), weight.at(p, i), y, rstd, mean);
    });
    dx.store(operands.dx + offset, columns);
  }
}

template <typename T, int kSize>
__global__ void __launch_bounds__(kMaxTeam) backward_kernel(BackwardOperands<T> operands) {
  constexpr int kPacks = kPacksOf<kSize>;
  extern __shared__ float of_teams[];  // [teams, C], if there are several teams
  float dweight[kPacks][kSize] = {};
  backward_rows<T, kSize>(operands, dweight);

  float* partial = operands.partial + blockIdx.x * int64_t{operands.columns};
  float* to = blockDim.y == 1 ? partial : of_teams + threadIdx.y * operands.columns;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int column = Share<T, kSize>::column(p);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if (column < operands.columns) to[column + i] = dweight[p][i];
    }
  }
  if (blockDim.y == 1) return;
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  for (int column = thread; column < operands.columns; column += kBackwardBlock) {
    float sum = 0;
    for (unsigned team = 0; team < blockDim.y; ++team) sum += of_teams[team * operands.columns + column];
    partial[column] = sum;
  }
}

// Reads rows twice, because they do not fit into registers, and accumulates their part of dweight in memory.
template <typename T>
__global__ void __launch_bounds__(kLongBlock) long_backward_kernel(BackwardOperands<T> operands) {
  const int columns = operands.columns, thread = static_cast<int>(threadIdx.x);
  const int64_t begin = blockIdx.x * operands.rows_per_block;
  const int64_t end = min(operands.rows, begin + operands.rows_per_block);
  float* partial = operands.partial + blockIdx.x * int64_t{columns};
  for (int column = thread; column < columns; column += kLongBlock) partial[column] = 0;
  for (int64_t row = begin; row < end; ++row) {
    const T *dout = operands.dout + row * columns, *x = operands.x + row * columns;
    T* dx = operands.dx + row * columns;
    const float rstd = operands.rstd[row];
    float dot = 0;
    for (int column = thread; column < columns; column += kLongBlock) {
      dot += to_float(dout[column]) * to_float(operands.weight[column]) * to_float(x[column]);
    }
    const float mean = row_sum(dot) * rstd / static_cast<float>(columns);
    for (int column = thread; column < columns; column += kLongBlock) {
      const float gradient = to_float(dout[column]), weight = to_float(operands.weight[column]);
      const float y = to_float(x[column]) * rstd;
      dx[column] = from_float<T>(dx_of(to_float(dx[column]), gradient, weight, y, rstd, mean));
      partial[column] += gradient * y;
    }
  }
}

constexpr int kSumRows = 16;  // threads that split the parts of one column

// dweight += the sum of the parts. Each thread sums every kSumRows-th part of a column.
__global__ void __launch_bounds__(kWarp* kSumRows)
    sum_parts_kernel(float* dweight, const float* partial, int parts, int columns) {
  __shared__ float sums[kSumRows][kWarp];
  const int column = static_cast<int>(blockIdx.x * kWarp + threadIdx.x);
  float sum = 0;
  if (column < columns) {
#pragma unroll 8
    for (int part = static_cast<int>(threadIdx.y); part < parts; part += kSumRows) {
      sum += partial[int64_t{part} * columns + column];
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  float total = 0;
  for (int row = 0; row < kSumRows; ++row) total += sums[row][threadIdx.x];
  dweight[column] += total;
}

template <typename T, int kSize>
void launch_backward(const Stream& stream, float* dweight, const BackwardOperands<T>& operands) {
  if (operands.rows == 0 || operands.columns == 0) return;
  const auto parts = static_cast<unsigned>(cuda_scratch::norm_row_blocks(operands.rows));
  const int team = team_of<kSize>(operands.columns);
  if (team == 0) {
    long_backward_kernel<T><<<parts, kLongBlock, 0, native(stream)>>>(operands);
  } else {
    const dim3 block = block_of(team, kBackwardBlock);
    const size_t shared = block.y == 1 ? 0 : block.y * operands.columns * sizeof(float);  // at most 32 KiB
    backward_kernel<T, kSize><<<parts, block, shared, native(stream)>>>(operands);
  }
  LIGHTHOUSE_LAUNCHED("rmsnorm_backward");
  const auto grid = static_cast<unsigned>(ceil_div(operands.columns, kWarp));
  sum_parts_kernel<<<grid, dim3(kWarp, kSumRows), 0, native(stream)>>>(dweight, operands.partial,
                                                                       static_cast<int>(parts), operands.columns);
  LIGHTHOUSE_LAUNCHED("rmsnorm_backward, dweight");
}

}  // namespace

void CudaBackend::do_rmsnorm_forward(const Stream& stream, const Tensor& out, const Tensor& rstd, const Tensor& x,
                                     const Tensor& weight, double epsilon) {
  const ProfileRange range("rmsnorm_forward");
  with_float_pack(x, can_pack(x.size(1), {&out, &x, &weight}), [&](auto element, auto size) {
    using T = decltype(element);
    launch_forward<T, decltype(size)::value, false>(
        stream, {nullptr, data_of<T>(out), rstd.data<float>(), nullptr, data_of<T>(x), data_of<T>(weight),
                 static_cast<float>(epsilon), x.size(0), static_cast<int>(x.size(1))});
  });
}

void CudaBackend::do_rmsnorm_residual_forward(const Stream& stream, const Tensor& sum, const Tensor& out,
                                              const Tensor& rstd, const Tensor& residual, const Tensor& x,
                                              const Tensor& weight, double epsilon) {
  const ProfileRange range("rmsnorm_residual_forward");
  with_float_pack(x, can_pack(x.size(1), {&sum, &out, &residual, &x, &weight}), [&](auto element, auto size) {
    using T = decltype(element);
    launch_forward<T, decltype(size)::value, true>(
        stream, {data_of<T>(sum), data_of<T>(out), rstd.data<float>(), data_of<T>(residual), data_of<T>(x),
                 data_of<T>(weight), static_cast<float>(epsilon), x.size(0), static_cast<int>(x.size(1))});
  });
}

void CudaBackend::do_rmsnorm_backward(const Stream& stream, const Tensor& dx, const Tensor& dweight,
                                      const Tensor& scratch, const Tensor& dout, const Tensor& x, const Tensor& weight,
                                      const Tensor& rstd) {
  const ProfileRange range("rmsnorm_backward");
  with_float_pack(x, can_pack(x.size(1), {&dx, &dout, &x, &weight}), [&](auto element, auto size) {
    using T = decltype(element);
    launch_backward<T, decltype(size)::value>(
        stream, dweight.data<float>(),
        {data_of<T>(dx), data_of<float>(scratch), data_of<T>(dout), data_of<T>(x), data_of<T>(weight),
         rstd.data<float>(), x.size(0), cuda_scratch::norm_rows_per_block(x.size(0)), static_cast<int>(x.size(1))});
  });
}

}  // namespace lighthouse::cuda
