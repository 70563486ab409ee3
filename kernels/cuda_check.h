// Turns errors of the CUDA runtime into exceptions.
#pragma once

#include <cuda_runtime.h>

#include <string_view>

namespace lighthouse::cuda {

/// Throws RunError with the error's name, its text and the call, unless `status` is cudaSuccess.
void check(cudaError_t status, std::string_view call);

}  // namespace lighthouse::cuda

#define LIGHTHOUSE_CUDA(call) ::lighthouse::cuda::check((call), #call)
/// After each kernel launch.
#define LIGHTHOUSE_LAUNCHED(kernel) ::lighthouse::cuda::check(cudaGetLastError(), kernel)
