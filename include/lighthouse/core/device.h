// Where a tensor's bytes are.
#pragma once

#include <cstdint>

namespace lighthouse {

enum class DeviceKind : uint8_t { kCpu, kCuda };

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;

  friend bool operator==(const Device&, const Device&) = default;
};

}  // namespace lighthouse
