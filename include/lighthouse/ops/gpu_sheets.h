// What GPUs can do, by their data sheets.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/core/dtype.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// A GPU as its driver describes it.
struct GpuTraits {
  std::string name;  // "NVIDIA GeForce RTX 4090"
  int major = 0;     // compute capability
  int minor = 0;
  int multiprocessors = 0;
  double clock = 0;  // the highest, Hz
};

/// Floating-point operations per second in matrix products of `dtype`: bfloat16 with float32 accumulation on tensor
/// cores, dense, or float32. 0 for an architecture that is not known here.
double peak_flops(const GpuTraits& gpu, DType dtype);

/// The names that gpu_by_name() knows.
std::vector<std::string> known_gpus();

/// A GPU to plan for: its peak in `dtype`, its bandwidth, and its memory less what the driver and the libraries take.
/// Capitals, blanks, '-' and '_' in the name do not matter. Throws InputError with the known names for another.
Hardware gpu_by_name(const std::string& name, DType dtype);

}  // namespace lighthouse
