#include <algorithm>

#include "commands.h"
#include "lighthouse/core/error.h"
#ifdef LIGHTHOUSE_HAS_CUDA
#include "lighthouse/kernels/cuda.h"
#endif

namespace lighthouse {
namespace {

bool has_lighthouse_stage(const RunConfig& config) {
  return std::any_of(config.stages.begin(), config.stages.end(),
                     [](const StageSection& stage) { return stage.attention == AttentionKind::kLighthouse; });
}

#ifdef LIGHTHOUSE_HAS_CUDA
bool gpu_is_there() {
  return cuda_device_count() > 0;
}

std::unique_ptr<Backend> make_gpu_backend(const RunConfig& config, int local_rank) {
  if (has_lighthouse_stage(config)) {
    throw InputError(
        "run.device is cuda, and Lighthouse Attention runs on the CPU only so far; use dense stages (--set "
        "stages.0.attention=dense) or --set run.device=cpu");
  }
  constexpr double kGibibyte = 1024.0 * 1024 * 1024;
  CudaOptions options;
  options.device = local_rank % std::max(1, cuda_device_count());
  options.dtype = config.run.dtype == DTypeChoice::kFloat32 ? DType::kFloat32 : DType::kBFloat16;
  options.deterministic = config.run.deterministic;
  options.attention_workspace = static_cast<int64_t>(config.memory.attention_workspace * kGibibyte);
  return make_cuda_backend(options);
}
#else
bool gpu_is_there() {
  return false;
}

std::unique_ptr<Backend> make_gpu_backend(const RunConfig& /*config*/, int /*local_rank*/) {
  throw InputError(
      "run.device is cuda, and this program was built without CUDA (" LIGHTHOUSE_NO_CUDA
      "); install the CUDA toolkit 12 or newer with cuDNN 9 and build again (README.md), or use --set run.device=cpu");
}
#endif

}  // namespace

RunConfig with_device(RunConfig config) {
  RunSection& run = config.run;
  if (run.device == DeviceChoice::kAuto) {
    run.device = gpu_is_there() && !has_lighthouse_stage(config) ? DeviceChoice::kCuda : DeviceChoice::kCpu;
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
        "run.dtype is bfloat16, and the CPU computes in float32 alone; use --set run.dtype=float32, or a GPU");
  }
  return make_cpu_backend();
}

std::unique_ptr<Backend> make_backend(DeviceChoice device, DTypeChoice dtype) {
  RunConfig config;
  config.run.device = device;
  config.run.dtype = dtype;
  return make_backend(config);
}

}  // namespace lighthouse
