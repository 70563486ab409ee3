// Batches on their way to the device while it computes.
#include "gpu_run.h"
#include "lighthouse/data/batch.h"

namespace lighthouse {
namespace {

constexpr int64_t kBatches = 50, kRows = 2, kLength = 64, kTokens = kRows * kLength;

class GpuFeed : public GpuRun {
 protected:
  /// Feeds the batches without a wait in between. Each is taken to a place of its own, after `before_taking`.
  void expect_all_in_order(const std::function<void(const Stream&)>& before_taking) {
    Arena arena(gpu_->allocate(int64_t{4} << 20));
    const auto allocate = [&](const Shape& shape) { return arena.allocate(MemoryUse::kBatch, shape, DType::kInt32); };
    const Tensor inputs = allocate({kRows, kLength}), targets = allocate({kRows, kLength});
    const Tensor all_inputs = allocate({kBatches, kTokens}), all_targets = allocate({kBatches, kTokens});
    BatchFeed feed(*gpu_, kTokens);
    const Stream stream = gpu_->compute_stream();
    std::vector<int32_t> fed_inputs, fed_targets;
    for (int64_t i = 0; i < kBatches; ++i) {
      std::vector<int32_t> windows = random_tokens(kRows * (kLength + 1), 50000, static_cast<uint32_t>(i));
      for (auto window = windows.begin(); window != windows.end(); window += kLength + 1) {
        fed_inputs.insert(fed_inputs.end(), window, window + kLength);
        fed_targets.insert(fed_targets.end(), window + 1, window + kLength + 1);
      }
      feed.feed(stream, inputs, targets, windows);
      std::fill(windows.begin(), windows.end(), -7);  // they are the caller's again
      before_taking(stream);
      gpu_->copy(stream, all_inputs.select(0, i), inputs);
      gpu_->copy(stream, all_targets.select(0, i), targets);
    }
    EXPECT_EQ(download<int32_t>(*gpu_, all_inputs), fed_inputs);
    EXPECT_EQ(download<int32_t>(*gpu_, all_targets), fed_targets);
  }
};

TEST_F(GpuFeed, BringsAllBatchesInOrder) {
  expect_all_in_order([](const Stream&) {});
}

TEST_F(GpuFeed, BringsThemInOrderToADeviceThatIsBusy) {
  const Memory memory = gpu_->allocate(int64_t{1} << 28);
  const Tensor busy(memory.address(), {memory.bytes()}, DType::kUInt8, memory.device());
  expect_all_in_order([&](const Stream& stream) {
    for (int i = 0; i < 10; ++i) gpu_->fill(stream, busy, 1);
  });
}

TEST_F(GpuFeed, BringsThemInOrderWhenCopiesAreLate) {
  const Memory memory = gpu_->allocate(int64_t{1} << 28);
  const Tensor busy(memory.address(), {memory.bytes()}, DType::kUInt8, memory.device());
  expect_all_in_order([&](const Stream&) {
    for (int i = 0; i < 10; ++i) gpu_->fill(gpu_->upload_stream(), busy, 1);
  });
}

}  // namespace
}  // namespace lighthouse
