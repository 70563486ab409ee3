// Embedding. The backward pass adds in a fixed order: positions are sorted by token and split into chunks. Runs of
// equal tokens within a chunk are added to dweight; runs that cross into other chunks leave partial sums, which a
// second kernel adds. However often a token occurs, no thread adds more than one chunk of rows.
#include <algorithm>
#include <cstddef>
#include <cub/device/device_radix_sort.cuh>
#include <limits>
#include <stdexcept>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/ops/check.h"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

// ---- Forward ----

constexpr int kGatherBlock = 256;

template <typename T, int kSize>
__global__ void __launch_bounds__(kGatherBlock)
    gather_kernel(T* out, const T* weight, const int32_t* tokens, int64_t rows, int64_t columns) {
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const T* from = weight + tokens[row] * columns;
  T* to = out + row * columns;
  for (int64_t column = threadIdx.x * kSize; column < columns; column += blockDim.x * kSize) {
    store_pack(to + column, load_pack<T, kSize>(from + column));
  }
}

// ---- Backward ----

constexpr int kChunk = cuda_scratch::kEmbeddingChunk;  // sorted positions
constexpr int kBatch = 8;                              // rows that a thread loads at once
constexpr int kAddBlock = 128;                         // threads, one for each pack of columns of a chunk
static_assert(kChunk % kBatch == 0);

struct Sorted {
  const int32_t *tokens, *positions;
  int count, chunks;
};

// The sums of the runs that cross the borders of a chunk: [chunks, 2, C].
enum PartialKind : int { kFromBefore, kIntoNext, kPartialKinds };
static_assert(kPartialKinds == cuda_scratch::kEmbeddingPartialKinds);

__global__ void count_up_kernel(int32_t* out, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) out[i] = i;
}

// The tokens and positions of a chunk, with the neighbouring token on either side, or -1.
struct Chunk {
  int32_t tokens[kChunk + 2];
  int32_t positions[kChunk];

  __device__ int32_t token(int i) const { return tokens[i + 1]; }

  __device__ void load(const Sorted& sorted, int first) {
    for (int i = static_cast<int>(threadIdx.x); i < kChunk + 2; i += kAddBlock) {
      const int index = first + i - 1;
      tokens[i] = index >= 0 && index < sorted.count ? sorted.tokens[index] : -1;
      if (i < kChunk) positions[i] = first + i < sorted.count ? sorted.positions[first + i] : 0;
    }
    __syncthreads();
  }
};

template <int kSize>
__device__ void store_run(float* to, const float (&sum)[kSize], bool add) {
  constexpr int kStep = kSize == 1 ? 1 : 4;
#pragma unroll
  for (int i = 0; i < kSize; i += kStep) {
    Pack<float, kStep> pack;
#pragma unroll
    for (int j = 0; j < kStep; ++j) pack.values[j] = sum[i + j];
    if (add) {
      const auto old = load_pack<float, kStep>(to + i);
#pragma unroll
      for (int j = 0; j < kStep; ++j) pack.values[j] += old.values[j];
    }
    store_pack(to + i, pack);
  }
}

template <typename T, int kSize>
__global__ void __launch_bounds__(kAddBlock)
    add_chunks_kernel(float* dweight, float* partial, const T* dout, Sorted sorted, int slices, int64_t columns) {
  __shared__ Chunk chunk;
  const int index = static_cast<int>(blockIdx.x) / slices, slice = static_cast<int>(blockIdx.x) % slices;
  const int first = index * kChunk, count = min(kChunk, sorted.count - first);
  chunk.load(sorted, first);
  const int64_t column = (int64_t{slice} * kAddBlock + threadIdx.x) * kSize;
  if (column >= columns) return;
  float* of_chunk = partial + int64_t{index} * kPartialKinds * columns + column;
  float sum[kSize] = {};
  bool from_before = chunk.token(0) == chunk.token(-1);
  for (int batch = 0; batch < count; batch += kBatch) {
    Words<T, kSize> rows[kBatch];
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      if (batch + j < count) rows[j] = load_words<T, kSize>(dout + chunk.positions[batch + j] * columns + column);
    }
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      const int i = batch + j;
      if (i >= count) break;
#pragma unroll
      for (int c = 0; c < kSize; ++c) sum[c] += rows[j].at(c);
      const bool goes_on = chunk.token(i + 1) == chunk.token(i);
      if (goes_on && i + 1 < count) continue;
      const bool crosses = from_before || goes_on;
      float* to = crosses ? of_chunk + (from_before ? kFromBefore : kIntoNext) * columns
                          : dweight + chunk.token(i) * columns + column;
      store_run(to, sum, !crosses);
      from_before = false;
#pragma unroll
      for (float& element : sum) element = 0;
    }
  }
}

constexpr int kJoinSize = 4;    // columns of a thread
constexpr int kJoinSlices = 8;  // threads that split the partial sums of a run

// The number of chunks after `chunk` that begin with `token`, into which its run continues.
__device__ inline int chunks_reached(const Sorted& sorted, int chunk, int32_t token) {
  int low = chunk + 1, high = sorted.chunks;  // the first chunk that begins with a larger token is in [low, high]
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (sorted.tokens[int64_t{middle} * kChunk] <= token) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - chunk - 1;
}

// A block sums the run that begins in a chunk and continues into the next ones, if there is one.
template <int kSize>
__global__ void __launch_bounds__(kWarp* kJoinSlices)
    join_chunks_kernel(float* dweight, const float* partial, Sorted sorted, int slices, int64_t columns) {
  __shared__ float sums[kJoinSlices][kWarp][kSize];
  const int chunk = static_cast<int>(blockIdx.x) / slices, slice = static_cast<int>(blockIdx.x) % slices;
  const int64_t first = int64_t{chunk} * kChunk, next = first + kChunk;  // the last chunk has no block
  const int32_t token = sorted.tokens[next - 1];
  const bool begins_here = first == 0 || sorted.tokens[first - 1] != token;
  if (!begins_here || sorted.tokens[next] != token) return;

  const int reached = chunks_reached(sorted, chunk, token);
  const int64_t column = (int64_t{slice} * kWarp + threadIdx.x) * kSize;
  float sum[kSize] = {};
  if (column < columns) {
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.y); i <= reached; i += kJoinSlices) {
      const int kind = i == 0 ? kIntoNext : kFromBefore;
      const auto pack =
          load_pack<float, kSize>(partial + (int64_t{chunk + i} * kPartialKinds + kind) * columns + column);
#pragma unroll
      for (int c = 0; c < kSize; ++c) sum[c] += pack.values[c];
    }
  }
#pragma unroll
  for (int c = 0; c < kSize; ++c) sums[threadIdx.y][threadIdx.x][c] = sum[c];
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int other = 1; other < kJoinSlices; ++other) {
#pragma unroll
    for (int c = 0; c < kSize; ++c) sum[c] += sums[other][threadIdx.x][c];
  }
  store_run(dweight + token * columns + column, sum, true);
}

// The layout of the scratch of cuda_scratch::embedding_backward() bytes.
struct Scratch {
  int32_t *positions, *sorted_tokens, *sorted_positions;
  float* partial;
  void* sort;
  size_t sort_bytes;

  Scratch(void* memory, int64_t tokens, int64_t columns) : memory_(static_cast<std::byte*>(memory)) {
    positions = take<int32_t>(tokens);
    sorted_tokens = take<int32_t>(tokens);
    sorted_positions = take<int32_t>(tokens);
    partial = take<float>(cuda_scratch::embedding_partials(tokens, columns));
    sort_bytes = static_cast<size_t>(cuda_scratch::embedding_sort(tokens));
    sort = take<std::byte>(cuda_scratch::embedding_sort(tokens));
  }

 private:
  template <typename T>
  T* take(int64_t count) {
    auto* piece = reinterpret_cast<T*>(memory_);
    memory_ += cuda_scratch::aligned(count * int64_t{sizeof(T)});
    return piece;
  }
  std::byte* memory_;
};

int bits_of(int64_t vocab_size) {
  int bits = 1;
  while ((int64_t{1} << bits) < vocab_size) ++bits;
  return bits;
}

Sorted sort(cudaStream_t stream, const Scratch& scratch, const int32_t* tokens, int count, int64_t vocab_size) {
  constexpr int kBlock = 256;
  const auto grid = static_cast<unsigned>(ceil_div(count, kBlock));
  count_up_kernel<<<grid, kBlock, 0, stream>>>(scratch.positions, count);
  LIGHTHOUSE_LAUNCHED("embedding_backward, positions");
  const auto run = [&](void* memory, size_t& bytes) {
    return cub::DeviceRadixSort::SortPairs(memory, bytes, tokens, scratch.sorted_tokens, scratch.positions,
                                           scratch.sorted_positions, count, 0, bits_of(vocab_size), stream);
  };
  size_t wanted = 0;
  LIGHTHOUSE_CUDA(run(nullptr, wanted));
  if (wanted > scratch.sort_bytes)
    throw std::logic_error("embedding_backward: sorting wants more scratch than thought");
  wanted = scratch.sort_bytes;
  LIGHTHOUSE_CUDA(run(scratch.sort, wanted));
  return {scratch.sorted_tokens, scratch.sorted_positions, count, static_cast<int>(ceil_div(count, kChunk))};
}

template <typename T, int kSize>
void add_sorted(const Stream& stream, float* dweight, float* partial, const T* dout, const Sorted& sorted,
                int64_t columns) {
  const auto slices = static_cast<int>(ceil_div(columns, int64_t{kAddBlock} * kSize));
  add_chunks_kernel<T, kSize><<<static_cast<unsigned>(sorted.chunks) * slices, kAddBlock, 0, native(stream)>>>(
      dweight, partial, dout, sorted, slices, columns);
  LIGHTHOUSE_LAUNCHED("embedding_backward, chunks");
  if (sorted.chunks == 1) return;
  constexpr int kJoin = kSize == 1 ? 1 : kJoinSize;
  const auto join_slices = static_cast<int>(ceil_div(columns, int64_t{kWarp} * kJoin));
  const unsigned grid = static_cast<unsigned>(sorted.chunks - 1) * join_slices;
  join_chunks_kernel<kJoin>
      <<<grid, dim3(kWarp, kJoinSlices), 0, native(stream)>>>(dweight, partial, sorted, join_slices, columns);
  LIGHTHOUSE_LAUNCHED("embedding_backward, runs across chunks");
}

}  // namespace

void CudaBackend::do_embedding_forward(const Stream& stream, const Tensor& out, const Tensor& weight,
                                       const Tensor& tokens) {
  const ProfileRange range("embedding_forward");
  const int64_t rows = out.size(0), columns = out.size(1);
  if (out.numel() == 0) return;
  with_float_pack(out, can_pack(columns, {&out, &weight}), [&](auto element, auto size) {
    using T = decltype(element);
    constexpr int kSize = decltype(size)::value;
    const int64_t warps = ceil_div(ceil_div(columns, kSize), kWarp);
    const auto width = static_cast<unsigned>(std::min<int64_t>(warps * kWarp, kGatherBlock));
    const dim3 block(width, kGatherBlock / width);
    gather_kernel<T, kSize><<<static_cast<unsigned>(ceil_div(rows, block.y)), block, 0, native(stream)>>>(
        data_of<T>(out), data_of<T>(weight), tokens.data<int32_t>(), rows, columns);
    LIGHTHOUSE_LAUNCHED("embedding_forward");
  });
}

void CudaBackend::do_embedding_backward(const Stream& stream, const Tensor& dweight, const Tensor& scratch,
                                        const Tensor& dout, const Tensor& tokens) {
  const ProfileRange range("embedding_backward");
  const int64_t rows = dout.size(0), columns = dout.size(1);
  require(rows <= std::numeric_limits<int>::max(), "embedding_backward", {&dout});
  if (dout.numel() == 0) return;
  const Scratch pieces(scratch.raw(), rows, columns);
  const Sorted sorted = sort(native(stream), pieces, tokens.data<int32_t>(), static_cast<int>(rows), dweight.size(0));
  with_float_pack(dout, can_pack(columns, {&dweight, &dout}) && can_pack(16, {&scratch}), [&](auto element, auto size) {
    using T = decltype(element);
    add_sorted<T, decltype(size)::value>(stream, dweight.data<float>(), pieces.partial, data_of<T>(dout), sorted,
                                         columns);
  });
}

}  // namespace lighthouse::cuda
