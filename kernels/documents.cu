// Finds the documents of a batch: each begins with a sequence or after an end of text.
#include <cub/block/block_scan.cuh>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

constexpr int kBlock = 1024;

/// The documents up to a token.
struct Found {
  int count;  // number of documents
  int last;   // first token of the last document, counted through the batch
};

struct Later {
  __device__ Found operator()(const Found& before, const Found& after) const {
    return {before.count + after.count, after.count > 0 ? after.last : before.last};
  }
};

// One block processes the batch, kBlock tokens at a time.
__global__ void __launch_bounds__(kBlock) find_kernel(int32_t* starts, int32_t* bounds, const int32_t* tokens,
                                                      int64_t total, int64_t length, int32_t end_of_text) {
  using Scan = cub::BlockScan<Found, kBlock>;
  __shared__ typename Scan::TempStorage storage;
  Found before{0, 0};  // of all tokens processed so far
  for (int64_t first = 0; first < total; first += kBlock) {
    const int64_t token = first + threadIdx.x;
    const bool begins = token < total && (token % length == 0 || tokens[token - 1] == end_of_text);
    Found found{begins ? 1 : 0, static_cast<int>(token)}, all;
    Scan(storage).InclusiveScan(found, found, Later{}, all);
    found = Later{}(before, found);
    if (begins) bounds[found.count - 1] = static_cast<int>(token);
    if (token < total) starts[token] = found.last - static_cast<int>(token / length * length);
    before = Later{}(before, all);
    __syncthreads();  // the storage is reused
  }
  for (int64_t i = before.count + threadIdx.x; i <= total; i += kBlock) bounds[i] = static_cast<int>(total);
  if (threadIdx.x == 0) bounds[total + 1] = before.count;
}

/// Waits for the stream and reads the count from device memory.
int32_t read_back(const Stream& stream, const int32_t* from) {
  int32_t value = 0;
  LIGHTHOUSE_CUDA(cudaMemcpyAsync(&value, from, sizeof value, cudaMemcpyDeviceToHost, native(stream)));
  LIGHTHOUSE_CUDA(cudaStreamSynchronize(native(stream)));
  return value;
}

}  // namespace

int64_t CudaBackend::do_find_documents(const Stream& stream, const Documents& documents, const Tensor& tokens,
                                       int32_t end_of_text) {
  const ProfileRange range("find_documents");
  if (tokens.numel() == 0) return 0;
  int32_t* const bounds = documents.bounds.data<int32_t>();
  find_kernel<<<1, kBlock, 0, native(stream)>>>(documents.starts.data<int32_t>(), bounds, tokens.data<int32_t>(),
                                                tokens.numel(), tokens.size(1), end_of_text);
  LIGHTHOUSE_LAUNCHED("find_documents");
  return read_back(stream, bounds + tokens.numel() + 1);
}

}  // namespace lighthouse::cuda
