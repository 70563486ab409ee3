#include "kernel_test.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

class DeviceErrorTest : public GpuTest {};

TEST_F(DeviceErrorTest, RefusesAGpuThatIsNotThere) {
  EXPECT_THROW(make_cuda_backend({.device = 99}), InputError);
}

TEST_F(DeviceErrorTest, RefusesMoreMemoryThanThereIsAndGoesOn) {
  EXPECT_THROW(gpu_->allocate(int64_t{1} << 50), InputError);
  const Memory memory = gpu_->allocate(4);
  const Tensor x(memory.address(), {1}, DType::kFloat32, memory.device());
  gpu_->fill(gpu_->compute_stream(), x, 7);
  EXPECT_EQ(download<float>(*gpu_, x), std::vector<float>{7});
}

}  // namespace
}  // namespace lighthouse
