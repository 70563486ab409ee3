#include "lighthouse/ops/gpu_sheets.h"

#include <gtest/gtest.h>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

double bfloat16_teraflops(const std::string& name) {
  return 1e-12 * gpu_by_name(name, DType::kBFloat16).flops;
}

TEST(GpuSheets, BFloat16WithFloat32AccumulationAsTheDataSheetsHaveIt) {
  // GeForce: half the rate of the same chip on a workstation card.
  EXPECT_NEAR(bfloat16_teraflops("RTX 3090"), 71, 1);
  EXPECT_NEAR(bfloat16_teraflops("RTX 4090"), 165.2, 1);
  EXPECT_NEAR(bfloat16_teraflops("RTX 5090"), 209.5, 1);
  EXPECT_NEAR(bfloat16_teraflops("RTX A6000"), 154.8, 1);
  EXPECT_NEAR(bfloat16_teraflops("RTX 6000 Ada"), 364, 1);
  EXPECT_NEAR(bfloat16_teraflops("RTX PRO 6000"), 503.8, 1);
  EXPECT_NEAR(bfloat16_teraflops("A10"), 125, 1);
  EXPECT_NEAR(bfloat16_teraflops("A40"), 149.7, 1);
  EXPECT_NEAR(bfloat16_teraflops("L4"), 121, 1);
  EXPECT_NEAR(bfloat16_teraflops("L40S"), 366, 1);
  EXPECT_NEAR(bfloat16_teraflops("A100-80GB"), 312, 1);
  EXPECT_NEAR(bfloat16_teraflops("A30"), 165, 1);
  EXPECT_NEAR(bfloat16_teraflops("H100"), 989, 1);
  EXPECT_NEAR(bfloat16_teraflops("H100-PCIe"), 756, 1);
  EXPECT_NEAR(bfloat16_teraflops("H100-NVL"), 835, 1);
  EXPECT_NEAR(bfloat16_teraflops("H200"), 989, 1);
  EXPECT_NEAR(bfloat16_teraflops("B200"), 2250, 1);
}

TEST(GpuSheets, DriversNames) {
  const auto teraflops = [](const char* name, int major, int minor, int multiprocessors, double gigahertz) {
    return 1e-12 * peak_flops({name, major, minor, multiprocessors, 1e9 * gigahertz}, DType::kBFloat16);
  };
  EXPECT_NEAR(teraflops("NVIDIA GeForce RTX 4090 Laptop GPU", 8, 9, 76, 2.04), 79.4, 1);
  EXPECT_NEAR(teraflops("NVIDIA H20", 9, 0, 78, 1.98), 148, 1);
  EXPECT_NEAR(teraflops("NVIDIA GH200 480GB", 9, 0, 132, 1.98), 989, 1);
  EXPECT_NEAR(teraflops("NVIDIA GB200", 10, 0, 148, 1.965), 2500, 1);
  EXPECT_EQ(teraflops("NVIDIA Thor", 11, 0, 20, 1.5), 0) << "not known";
}

TEST(GpuSheets, Float32) {
  EXPECT_NEAR(1e-12 * gpu_by_name("H100", DType::kFloat32).flops, 67, 1);
  EXPECT_NEAR(1e-12 * gpu_by_name("A100-40GB", DType::kFloat32).flops, 19.5, 0.1);
  EXPECT_NEAR(1e-12 * gpu_by_name("RTX-4090", DType::kFloat32).flops, 82.6, 0.1);
}

TEST(GpuSheets, NamesAsPeopleWriteThem) {
  for (const char* name : {"RTX-4090", "rtx 4090", "rtx4090", "RTX_4090"}) {
    EXPECT_EQ(gpu_by_name(name, DType::kBFloat16).name, "RTX-4090") << name;
  }
  for (const std::string& name : known_gpus()) {
    const Hardware gpu = gpu_by_name(name, DType::kBFloat16);
    EXPECT_GT(gpu.flops, 0) << name;
    EXPECT_GT(gpu.bytes_per_second, 0) << name;
    EXPECT_GT(gpu.memory_bytes, int64_t{20} << 30) << name;
  }
  for (const char* name : {"", "H1", "A100", "a toaster"}) {
    EXPECT_THROW(gpu_by_name(name, DType::kBFloat16), InputError) << name;
  }
}

}  // namespace
}  // namespace lighthouse
