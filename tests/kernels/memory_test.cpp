#include <limits>

#include "kernel_test.h"

namespace lighthouse {
namespace {

constexpr int64_t kNumels[] = {1, 7, 8, 1000, 65537};

class MemoryTest : public GpuTest {
 protected:
  Tensor bytes_of(const Memory& memory) const {
    return {memory.address(), {memory.bytes()}, DType::kUInt8, memory.device()};
  }
};

TEST_F(MemoryTest, AllocatedMemoryIsZeroedAlsoWhenItWasUsedBefore) {
  constexpr int64_t kBytes = (int64_t{1} << 20) + 1;
  for (int round = 0; round < 3; ++round) {
    const Memory memory = gpu_->allocate(kBytes);
    Bytes bytes(kBytes, kPoison);
    const Tensor host(bytes.data(), {kBytes}, DType::kUInt8), device = bytes_of(memory);
    gpu_->copy(gpu_->compute_stream(), host, device);
    gpu_->fill(gpu_->compute_stream(), device, 255);
    gpu_->wait(gpu_->compute_stream());
    EXPECT_TRUE(bytes == Bytes(kBytes, std::byte{0}));
  }
}

TEST_F(MemoryTest, Fill) {
  for (const DType type : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kInt32, DType::kUInt8}) {
    for (const int64_t numel : kNumels) {
      Comparison c = compare({numel});
      const Operand out = c.output(type, {numel}), later = c.updated(type, {numel + 1}, Values(numel + 1, 1));
      c.run_on_gpu([&](const Side& on) {
        on->fill(on.stream, on(out), 3);
        on->fill(on.stream, on(later).slice(0, 1, numel + 1), 0);
      });
      EXPECT_EQ(c.gpu(out), Values(numel, 3)) << name_of(type);
      Values expected(numel + 1, 0);
      expected[0] = 1;
      EXPECT_EQ(c.gpu(later), expected) << name_of(type);
    }
  }
}

TEST_F(MemoryTest, CopyOfEqualTypes) {
  for (const DType type : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kInt32, DType::kUInt8}) {
    for (const int64_t numel : kNumels) {
      Comparison c = compare({numel});
      const Operand out = c.output(type, {numel}), in = c.input(type, {numel}, Values(numel, 77));
      c.run_on_gpu([&](const Side& on) { on->copy(on.stream, on(out), on(in)); });
      EXPECT_EQ(c.gpu(out), Values(numel, 77)) << name_of(type);
    }
  }
}

TEST_F(MemoryTest, CopyConverts) {
  for (const DType from : {DType::kFloat32, DType::kBFloat16}) {
    const DType to = from == DType::kFloat32 ? DType::kBFloat16 : DType::kFloat32;
    for (const int64_t numel : kNumels) {
      Comparison c = compare({numel});
      const Operand out = c.output(to, {numel}), in = c.input(from, {numel});
      const Operand odd_out = c.updated(to, {numel + 1}), odd_in = c.input(from, {numel + 1});
      c.run([&](const Side& on) {
        on->copy(on.stream, on(out), on(in));
        const auto behind_first = [&](Operand operand) { return on(operand).slice(0, 1, numel + 1); };
        on->copy(on.stream, behind_first(odd_out), behind_first(odd_in));
      });
      for (const Operand operand : {out, odd_out}) EXPECT_EQ(c.gpu(operand), rounded(c.cpu(operand), to));
    }
  }
}

// Ties round to even; values that are too large become infinite; NaN stays NaN.
TEST_F(MemoryTest, CopyRoundsToBfloat16) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kLargest = std::numeric_limits<float>::max();
  const Values values = {
      0,         -0.0,       1 + 1.0 / 256, 1 + 3.0 / 256, -1 - 1.0 / 256, 1 + 1.0 / 256 + 1e-6,
      kInfinity, -kInfinity, kLargest,      -kLargest,     1e-40,          std::numeric_limits<double>::quiet_NaN()};
  const auto numel = static_cast<int64_t>(values.size());
  Comparison c = compare({numel});
  const Operand out = c.output(DType::kBFloat16, {numel}), in = c.input(DType::kFloat32, {numel}, values);
  c.run_on_gpu([&](const Side& on) { on->copy(on.stream, on(out), on(in)); });
  Values actual = c.gpu(out), expected = rounded(values, DType::kBFloat16);
  EXPECT_TRUE(std::isnan(actual.back()));
  actual.pop_back();
  expected.pop_back();
  EXPECT_EQ(actual, expected);
}

TEST_F(MemoryTest, CopyThroughTheDeviceKeepsHostMemory) {
  constexpr int64_t kBytes = (int64_t{1} << 20) + 3;
  const Memory pinned_in = gpu_->allocate_host(kBytes), pinned_out = gpu_->allocate_host(kBytes);
  const Memory device = gpu_->allocate(kBytes);
  Bytes pageable(kBytes);
  for (int64_t i = 0; i < kBytes; ++i) pinned_in.address()[i] = static_cast<std::byte>(i * 7919 % 251);
  const Tensor middle(pageable.data(), {kBytes}, DType::kUInt8);
  const Stream stream = gpu_->compute_stream();
  gpu_->copy(stream, bytes_of(device), bytes_of(pinned_in));
  gpu_->copy(stream, middle, bytes_of(device));
  gpu_->wait(stream);
  gpu_->fill(stream, bytes_of(device), 0);
  gpu_->copy(stream, bytes_of(device), middle);
  gpu_->copy(stream, bytes_of(pinned_out), bytes_of(device));
  gpu_->wait(stream);
  EXPECT_EQ(std::memcmp(pinned_out.address(), pinned_in.address(), kBytes), 0);
}

}  // namespace
}  // namespace lighthouse
