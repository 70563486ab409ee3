// The CUDA backend: hand-written kernels, cuBLASLt for matrix products, cuDNN for attention.
#pragma once

#include <memory>
#include <string>

#include "lighthouse/kernels/planning.h"

namespace lighthouse {

/// Number of GPUs that this process can use; 0 without a driver.
int cuda_device_count();

/// An identifier that is unique among all GPUs of all hosts.
std::string cuda_device_id(int device);

/// Makes the GPU current in the calling thread. Throws InputError if there is no such GPU, if its compute capability is
/// below 8.0, or if the driver or a library is too old.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

}  // namespace lighthouse
