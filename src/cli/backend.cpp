#include "commands.h"
#include "lighthouse/core/error.h"

namespace lighthouse {

std::unique_ptr<Backend> make_backend(DeviceChoice device) {
  if (device == DeviceChoice::kCuda) {
    throw InputError(
        "run.device is cuda, and this version of lighthouse has no CUDA backend yet; use --set "
        "run.device=cpu");
  }
  return make_cpu_backend();
}

}  // namespace lighthouse
