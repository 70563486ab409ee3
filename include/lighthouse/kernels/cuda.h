// The CUDA backend: hand-written kernels, cuBLASLt for matrix products, cuDNN for attention.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lighthouse/ops/backend.h"

namespace lighthouse {

struct CudaOptions {
  int device = 0;
  DType dtype = DType::kBFloat16;  // of activations; or kFloat32, to compare tightly
  /// Attention's backward gives the same bits on every call. All else always does.
  bool deterministic = false;
  /// Bytes that attention's backward may take for itself. Where its deterministic form would take more, it runs in
  /// chunks of queries.
  int64_t attention_workspace = int64_t{8} << 30;
};

/// GPUs that this process can use; 0 also where there is no driver.
int cuda_device_count();

/// A name that no other GPU has, on this host or another.
std::string cuda_device_id(int device);

/// Throws InputError if there is no such GPU, if its compute capability is below 8.0, or if its driver or a library is
/// too old.
std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

}  // namespace lighthouse
