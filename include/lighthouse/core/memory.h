// An owned block of memory on the host or on a device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "lighthouse/core/device.h"

namespace lighthouse {

/// Owns bytes on a device and frees them in its destructor by calling the `release` function given at construction.
class Memory {
 public:
  using Release = std::function<void(std::byte*)>;

  Memory() = default;
  Memory(std::byte* address, int64_t bytes, Device device, Release release)
      : address_(address, std::move(release)), bytes_(bytes), device_(device) {}

  /// Zeroed host memory. Throws InputError if the system cannot provide it.
  static Memory host(int64_t bytes);

  std::byte* address() const { return address_.get(); }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  std::unique_ptr<std::byte, Release> address_;
  int64_t bytes_ = 0;
  Device device_;
};

}  // namespace lighthouse
