// Peak rates and memory of GPUs according to their data sheets.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/core/dtype.h"
#include "lighthouse/ops/device_runtime.h"

namespace lighthouse {

/// A GPU as the driver describes it.
struct GpuTraits {
  std::string name;  // "NVIDIA GeForce RTX 4090"
  int major = 0;     // compute capability
  int minor = 0;
  int multiprocessors = 0;
  double clock = 0;  // highest clock, Hz
};

/// Floating-point operations per second in matrix products of `dtype`: bfloat16 with float32 accumulation on tensor
/// cores, dense, or float32. 0 for an unknown architecture.
double peak_flops(const GpuTraits& gpu, DType dtype);

/// The names that gpu_by_name() accepts.
std::vector<std::string> known_gpus();

/// A GPU to plan for: peak rate in `dtype`, bandwidth, and memory without the part that driver and libraries take.
/// Case, blanks, '-' and '_' in the name are ignored. Throws InputError, with the known names, for an unknown name.
Hardware gpu_by_name(const std::string& name, DType dtype);

}  // namespace lighthouse
