// Names operations in profilers that read NVTX, such as Nsight Systems.
#pragma once

#include <nvtx3/nvToolsExt.h>

namespace lighthouse::cuda {

/// Work that this thread enqueues during the object's life appears under `name`.
class ProfileRange {
 public:
  explicit ProfileRange(const char* name) { nvtxRangePushA(name); }
  ~ProfileRange() { nvtxRangePop(); }
  ProfileRange(const ProfileRange&) = delete;
  ProfileRange& operator=(const ProfileRange&) = delete;
};

}  // namespace lighthouse::cuda
