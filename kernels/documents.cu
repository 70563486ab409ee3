// Where each token's document begins: for every position the last one, up to it, that follows an end of text.
#include <cub/block/block_scan.cuh>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/ops/check.h"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kBlock = 1024;

struct Larger {
  __device__ int operator()(int a, int b) const { return a > b ? a : b; }
};

// A block walks a sequence, kBlock positions at a time.
__global__ void __launch_bounds__(kBlock)
    starts_kernel(int32_t* starts, const int32_t* tokens, int64_t length, int32_t end_of_text) {
  using Scan = cub::BlockScan<int, kBlock>;
  __shared__ typename Scan::TempStorage storage;
  __shared__ int carried;
  const int64_t row = blockIdx.x * length;
  if (threadIdx.x == 0) carried = 0;
  for (int64_t first = 0; first < length; first += kBlock) {
    const int64_t position = first + threadIdx.x;
    const bool begins = position > 0 && position < length && tokens[row + position - 1] == end_of_text;
    __syncthreads();
    int start = begins ? static_cast<int>(position) : 0;
    Scan(storage).InclusiveScan(start, start, Larger{});
    start = Larger{}(start, carried);
    if (position < length) starts[row + position] = start;
    __syncthreads();
    if (threadIdx.x == kBlock - 1) carried = start;
  }
}

}  // namespace

void CudaBackend::document_starts(const Stream& stream, const Tensor& starts, const Tensor& tokens,
                                  int32_t end_of_text) {
  const ProfileRange range("document_starts");
  require(tokens.rank() == 2 && have_shape(tokens.shape(), starts) && contiguous(starts, tokens), "document_starts",
          {&starts, &tokens});
  if (tokens.numel() == 0) return;
  starts_kernel<<<static_cast<unsigned>(tokens.size(0)), kBlock, 0, native(stream)>>>(
      starts.data<int32_t>(), tokens.data<int32_t>(), tokens.size(1), end_of_text);
  LIGHTHOUSE_LAUNCHED("document_starts");
}

}  // namespace lighthouse::cuda
