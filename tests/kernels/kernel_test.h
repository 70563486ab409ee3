// The fixture of the kernel tests: a backend on the GPU and one on the CPU. Without a GPU tests are skipped.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "comparison.h"
#include "lighthouse/kernels/cuda.h"

namespace lighthouse {

class GpuTest : public testing::Test {
 protected:
  void SetUp() override { start({}); }

  void start(const CudaOptions& options) {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
    gpu_ = make_cuda_backend(options);
  }
  Comparison compare(const Shape& sizes) { return {*gpu_, *cpu_, to_string(sizes)}; }

  std::unique_ptr<Backend> gpu_, cpu_ = make_cpu_backend();
};

/// Runs with activations of each type.
class KernelTest : public GpuTest, public testing::WithParamInterface<DType> {
 protected:
  void SetUp() override { start({.dtype = type()}); }

  static DType type() { return GetParam(); }
};

inline std::string type_name(const testing::TestParamInfo<DType>& info) {
  return std::string(name_of(info.param));
}
inline const auto kTypes = testing::Values(DType::kFloat32, DType::kBFloat16);

/// Tokens by features, each one past some tile, with odd widths for the scalar paths.
inline const std::vector<Shape> kRowShapes = {{1, 8},     {7, 53},    {64, 64},   {65, 72},  {129, 96},   {1025, 53},
                                              {1025, 64}, {65, 1000}, {64, 1024}, {7, 1032}, {129, 4104}, {1, 4104}};

}  // namespace lighthouse
