// SwiGLU: one thread for each pack of a row.
#include <algorithm>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int64_t kMaxBlock = 256;

// A row is split into pieces of one block each, equal up to whole warps.
struct Layout {
  unsigned grid, block;
  int64_t pieces;  // of a row
  int64_t width;   // F

  Layout(int64_t rows, int64_t columns, int size) : width(columns) {
    const int64_t packs = columns / size;
    pieces = std::max<int64_t>(1, ceil_div(packs, kMaxBlock));
    block = static_cast<unsigned>(std::max<int64_t>(1, ceil_div(ceil_div(packs, pieces), kWarp)) * kWarp);
    grid = static_cast<unsigned>(rows * pieces);
  }
};

// The position of a thread's pack; `column` is out of range if it has none.
struct Place {
  int64_t row, column;

  __device__ Place(const Layout& layout, int size) {
    const auto pieces = static_cast<unsigned>(layout.pieces);
    row = blockIdx.x / pieces;
    column = (int64_t{blockIdx.x % pieces} * blockDim.x + threadIdx.x) * size;
  }
};

template <typename T, int kSize>
__global__ void __launch_bounds__(kMaxBlock) forward_kernel(T* out, const T* gate_up, Layout layout) {
  const Place place(layout, kSize);
  if (place.column >= layout.width) return;
  const T* from = gate_up + 2 * place.row * layout.width + place.column;
  const auto gate = load_pack<T, kSize>(from), up = load_pack<T, kSize>(from + layout.width);
  Pack<T, kSize> result;
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const float x = to_float(gate.values[i]);
    result.values[i] = from_float<T>(x * sigmoid(x) * to_float(up.values[i]));
  }
  store_pack(out + place.row * layout.width + place.column, result);
}

template <typename T, int kSize>
__global__ void __launch_bounds__(kMaxBlock)
    backward_kernel(T* dgate_up, T* out, const T* dout, const T* gate_up, Layout layout) {
  const Place place(layout, kSize);
  if (place.column >= layout.width) return;
  const int64_t of_pair = 2 * place.row * layout.width + place.column;
  const int64_t of_out = place.row * layout.width + place.column;
  const auto gate = load_pack<T, kSize>(gate_up + of_pair), up = load_pack<T, kSize>(gate_up + of_pair + layout.width);
  const auto gradient = load_pack<T, kSize>(dout + of_out);
  Pack<T, kSize> dgate, dup, result;
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const float x = to_float(gate.values[i]), u = to_float(up.values[i]), g = to_float(gradient.values[i]);
    const float s = sigmoid(x), silu = x * s;
    dgate.values[i] = from_float<T>(g * u * (s + silu * (1.0f - s)));
    dup.values[i] = from_float<T>(g * silu);
    result.values[i] = from_float<T>(silu * u);
  }
  store_pack(dgate_up + of_pair, dgate);
  store_pack(dgate_up + of_pair + layout.width, dup);
  store_pack(out + of_out, result);
}

}  // namespace

void CudaBackend::do_swiglu_forward(const Stream& stream, const Tensor& out, const Tensor& gate_up) {
  const ProfileRange range("swiglu_forward");
  if (out.numel() == 0) return;
  with_float_pack(out, can_pack(out.size(1), {&out, &gate_up}), [&](auto element, auto size) {
    using T = decltype(element);
    constexpr int kSize = decltype(size)::value;
    const Layout layout(out.size(0), out.size(1), kSize);
    forward_kernel<T, kSize>
        <<<layout.grid, layout.block, 0, native(stream)>>>(data_of<T>(out), data_of<T>(gate_up), layout);
    LIGHTHOUSE_LAUNCHED("swiglu_forward");
  });
}

void CudaBackend::do_swiglu_backward(const Stream& stream, const Tensor& dgate_up, const Tensor& out,
                                     const Tensor& dout, const Tensor& gate_up) {
  const ProfileRange range("swiglu_backward");
  if (out.numel() == 0) return;
  with_float_pack(out, can_pack(out.size(1), {&dgate_up, &out, &dout, &gate_up}), [&](auto element, auto size) {
    using T = decltype(element);
    constexpr int kSize = decltype(size)::value;
    const Layout layout(out.size(0), out.size(1), kSize);
    backward_kernel<T, kSize><<<layout.grid, layout.block, 0, native(stream)>>>(
        data_of<T>(dgate_up), data_of<T>(out), data_of<T>(dout), data_of<T>(gate_up), layout);
    LIGHTHOUSE_LAUNCHED("swiglu_backward");
  });
}

}  // namespace lighthouse::cuda
