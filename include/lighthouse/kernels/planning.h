// The CUDA backend as far as it needs no GPU: its options, and a backend to plan runs with.
#pragma once

#include <cstdint>
#include <memory>

#include "lighthouse/core/dtype.h"
#include "lighthouse/core/units.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

struct CudaOptions {
  int device = 0;
  DType dtype = DType::kBFloat16;  // of activations; kFloat32 for tight comparisons
  /// Attention's backward gives the same bits on every call. All other operations always do.
  bool deterministic = false;
  /// Largest workspace of attention's backward, in bytes. The deterministic backward runs in chunks of queries if it
  /// would take more.
  int64_t attention_workspace = 8 * kGibibyte;
};

/// A backend with the type and the scratch sizes of the CUDA backend, and `hardware` as its hardware(). It cannot run
/// an operation: each throws std::logic_error unless a CostMeter counts it. allocate() throws std::logic_error;
/// allocate_host() works.
std::unique_ptr<Backend> make_planned_cuda_backend(const CudaOptions& options, const Hardware& hardware = {});

}  // namespace lighthouse
