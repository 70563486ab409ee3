#include <CLI/CLI.hpp>
#include <algorithm>

#include "commands.h"
#include "lighthouse/core/error.h"
#ifdef LIGHTHOUSE_HAS_CUDA
#include "lighthouse/kernels/cuda.h"
#endif

namespace lighthouse {
namespace {

#ifdef LIGHTHOUSE_HAS_CUDA
bool gpu_is_available() {
  return cuda_device_count() > 0;
}

std::unique_ptr<Backend> make_gpu_backend(const RunConfig& config, int local_rank) {
  CudaOptions options;
  options.device = local_rank % std::max(1, cuda_device_count());
  options.dtype = config.run.dtype == DTypeChoice::kFloat32 ? DType::kFloat32 : DType::kBFloat16;
  options.deterministic = config.run.deterministic;
  options.attention_workspace = config.memory.attention_workspace_bytes();
  return make_cuda_backend(options);
}
#else
bool gpu_is_available() {
  return false;
}

std::unique_ptr<Backend> make_gpu_backend(const RunConfig& /*config*/, int /*local_rank*/) {
  throw InputError("run.device is cuda, but this program was built without CUDA (" LIGHTHOUSE_NO_CUDA
                   "); install the CUDA toolkit 12 or newer with cuDNN 9 and build again (README.md), or use the CPU: "
                   "--set run.device=cpu, or --device cpu");
}
#endif

}  // namespace

RunConfig with_device(RunConfig config) {
  RunSection& run = config.run;
  if (run.device == DeviceChoice::kAuto) {
    run.device = gpu_is_available() ? DeviceChoice::kCuda : DeviceChoice::kCpu;
  }
  const bool gpu = run.device == DeviceChoice::kCuda;
  if (run.dtype == DTypeChoice::kAuto) run.dtype = gpu ? DTypeChoice::kBFloat16 : DTypeChoice::kFloat32;
  return config;
}

std::unique_ptr<Backend> make_backend(const RunConfig& given, int local_rank) {
  const RunConfig config = with_device(given);
  if (config.run.device == DeviceChoice::kCuda) return make_gpu_backend(config, local_rank);
  if (config.run.dtype == DTypeChoice::kBFloat16) {
    throw InputError(
        "run.dtype is bfloat16, but the CPU supports only float32; use float32 "
        "(--set run.dtype=float32, or --dtype float32) or a GPU");
  }
  return make_cpu_backend();
}

std::optional<Hardware> local_gpu(const RunConfig& config) {
  if (!gpu_is_available()) return std::nullopt;
  return make_gpu_backend(config, 0)->hardware();
}

Hardware with_configured_rates(Hardware hardware, const HardwareSection& section) {
  if (section.peak_tflops > 0) hardware.flops = 1e12 * section.peak_tflops;
  if (section.bandwidth > 0) hardware.bytes_per_second = 1e12 * section.bandwidth;
  return hardware;
}

void add_device_options(CLI::App& command, std::string& device, std::string& dtype) {
  command.add_option("--device", device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command.add_option("--dtype", dtype, "auto, float32 or bfloat16")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}));
}

std::unique_ptr<Backend> make_backend(const std::string& device, const std::string& dtype, bool deterministic) {
  RunConfig config;
  if (device == "cuda") config.run.device = DeviceChoice::kCuda;
  if (device == "cpu") config.run.device = DeviceChoice::kCpu;
  if (dtype == "float32") config.run.dtype = DTypeChoice::kFloat32;
  if (dtype == "bfloat16") config.run.dtype = DTypeChoice::kBFloat16;
  config.run.deterministic = deterministic;
  return make_backend(config);
}

}  // namespace lighthouse
