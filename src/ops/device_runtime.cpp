#include "lighthouse/ops/device_runtime.h"

#include "lighthouse/ops/check.h"

namespace lighthouse {
namespace {

bool can_copy(const Tensor& out, const Tensor& in) {
  const bool converts =
      out.device() == in.device() && is_activation_type(out.dtype()) && is_activation_type(in.dtype());
  return contiguous(out, in) && out.numel() == in.numel() && (out.dtype() == in.dtype() || converts);
}

}  // namespace

void DeviceRuntime::fill(const Stream& stream, const Tensor& out, float value) {
  require(contiguous(out), "fill", {&out});
  const auto describe = [&] { return Operation{.kind = "fill and copy", .writes = {out}}; };
  run(stream, describe, [&] { do_fill(stream, out, value); });
}

void DeviceRuntime::copy(const Stream& stream, const Tensor& out, const Tensor& in) {
  require(can_copy(out, in), "copy", {&out, &in});
  const auto describe = [&] {
    Operation operation{.kind = "fill and copy", .writes = {out}};
    if (out.device() == in.device()) operation.reads = {in};  // the host's side of a copy is not device memory
    return operation;
  };
  run(stream, describe, [&] { do_copy(stream, out, in); });
}

std::unique_ptr<Graph> DeviceRuntime::capture(const Stream& stream, const std::function<void()>& work) {
  return is_observed() ? nullptr : do_capture(stream, work);
}

}  // namespace lighthouse
