// Kernels that are launched while the one before them still runs, so that small ones do not wait for each other's
// launch: what one token's generation is made of. On compute capability 9.0 and newer; before, they are ordinary
// launches.
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "cuda_check.h"

namespace lighthouse::cuda {

/// In a kernel launched early, before it reads or writes anything that a kernel just before it writes or reads (what is
/// older has ended): waits until all that was given to the stream before it has run and can be seen.
__device__ inline void wait_for_those_before() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

/// In any kernel: once all of its blocks are here, the next one may be launched if it is launched early.
__device__ inline void let_next_begin() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// Into the second-level cache, where all kernels see the same: may come before wait_for_those_before().
__device__ inline void prefetch(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

/// Whether the kernel was compiled for a GPU on which it waits; one made for an older GPU does not, wherever it runs.
template <typename Kernel>
bool waits(Kernel kernel) {
  cudaFuncAttributes attributes{};
  LIGHTHOUSE_CUDA(cudaFuncGetAttributes(&attributes, kernel));
  return attributes.ptxVersion >= 90;
}

/// Launches `kernel`, early if `early`: it has to call wait_for_those_before().
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
