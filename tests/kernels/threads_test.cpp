// Calls from threads other than the backend's creator.
#include <cuda_runtime.h>

#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "kernel_test.h"

namespace lighthouse {
namespace {

/// The current device of a new thread after `work`.
int device_after(const std::function<void()>& work) {
  int device = -1;
  std::thread([&] {
    work();
    cudaGetDevice(&device);
  }).join();
  return device;
}

TEST(BackendThreads, EveryCallThatOthersMayMakeUsesTheBackendsGpu) {
  if (cuda_device_count() < 2) GTEST_SKIP() << "fewer than two GPUs";
  const auto gpu = make_cuda_backend({.device = 1});
  const Stream stream = gpu->compute_stream();
  const Memory memory = gpu->allocate(16), pinned = gpu->allocate_host(16);
  const Tensor x(memory.address(), {4}, DType::kFloat32, memory.device());
  const Tensor y(pinned.address(), {4}, DType::kFloat32);
  const Event event = gpu->record(stream);
  const std::vector<std::pair<const char*, std::function<void()>>> calls{
      {"allocate", [&] { gpu->allocate(16); }},
      {"allocate_host", [&] { gpu->allocate_host(16); }},
      {"fill", [&] { gpu->fill(stream, x, 1); }},
      {"copy", [&] { gpu->copy(stream, y, x); }},
      {"record", [&] { gpu->record(stream); }},
      {"wait for an event", [&] { gpu->wait(event); }},
      {"a stream's wait", [&] { gpu->wait(stream, event); }},
      {"wait for a stream", [&] { gpu->wait(stream); }},
      {"capture", [&] { gpu->capture(stream, [] {}); }},
      {"hardware", [&] { gpu->hardware(); }},
      {"memory_in_use", [&] { gpu->memory_in_use(); }},
  };
  for (const auto& [name, call] : calls) EXPECT_EQ(device_after(call), 1) << name;
}

}  // namespace
}  // namespace lighthouse
