// Programmatic dependent launch: a kernel is launched while the kernel before it still runs, which hides the launches
// of the small kernels that generate a token. Compute capability 9.0 and newer; ordinary launches on older GPUs.
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "cuda_check.h"

namespace lighthouse::cuda {

/// Waits until everything enqueued on the stream before this kernel has run and its writes are visible. A kernel that
/// is launched early calls this before it touches anything that the kernel before it reads or writes.
__device__ inline void wait_for_previous_kernels() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

/// Allows the next kernel, if it is launched early, to start once all blocks of this one have called this.
__device__ inline void allow_next_kernel() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// Prefetches into the L2 cache, which is coherent: may be called before wait_for_previous_kernels().
__device__ inline void prefetch(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

/// Whether the kernel was compiled for a GPU on which it waits. Code for older GPUs does not wait, wherever it runs.
template <typename Kernel>
bool waits(Kernel kernel) {
  cudaFuncAttributes attributes{};
  LIGHTHOUSE_CUDA(cudaFuncGetAttributes(&attributes, kernel));
  return attributes.ptxVersion >= 90;
}

/// Launches `kernel`, early if `early`; the kernel must call wait_for_previous_kernels().
template <typename... Parameters, typename... Arguments>
void launch(cudaStream_t stream, bool early, dim3 grid, unsigned threads, size_t shared, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = early && waits(kernel) ? 1 : 0;
  LIGHTHOUSE_CUDA(cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(arguments))...));
}

}  // namespace lighthouse::cuda
