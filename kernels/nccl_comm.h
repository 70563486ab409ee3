// A non-blocking NCCL communicator: waits for NCCL to accept calls, detects failures, aborts.
#pragma once

#include <nccl.h>

#include <chrono>
#include <functional>
#include <string>

#include "lighthouse/dist/process_group.h"

namespace lighthouse::cuda {

/// NCCL's functions that NcclComm calls; tests replace them.
struct NcclFunctions {
  std::function<ncclResult_t(ncclComm_t, ncclResult_t*)> get_async_error = ncclCommGetAsyncError;
  std::function<ncclResult_t(ncclComm_t)> abort = ncclCommAbort;
  std::function<const char*(ncclResult_t)> error_string = ncclGetErrorString;
  std::function<const char*(ncclComm_t)> last_error = ncclGetLastError;
  std::function<ncclResult_t()> group_start = ncclGroupStart;
  std::function<ncclResult_t()> group_end = ncclGroupEnd;
};

/// Owns a communicator. After the first failure, of NCCL or of another rank, the communicator is aborted and every call
/// throws, because sums may be incomplete. One thread makes all calls. `group` must outlive the object.
class NcclComm {
 public:
  explicit NcclComm(ProcessGroup& group, NcclFunctions functions = {});
  /// Aborts; does not wait for other ranks.
  ~NcclComm();
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  static bool is_failure(ncclResult_t result) { return result != ncclSuccess && result != ncclInProgress; }

  ncclComm_t get() const { return comm_; }
  /// For ncclCommInitRankConfig; pass its result to settle().
  ncclComm_t* address() { return &comm_; }

  /// Waits until NCCL has accepted the call that returned `result`. Throws RunError with NCCL's text if NCCL failed, in
  /// that call or later, or if its state cannot be queried; PeerError if another rank exited. `what` names the call.
  void settle(ncclResult_t result, const char* what);
  /// Throws as settle() does if NCCL or another rank failed; `waited`: the time spent waiting for `what` so far.
  void watch(const char* what, std::chrono::steady_clock::duration waited = {});
  /// Runs `calls` as one NCCL group, and ends the group even if a call fails. Returns the first failure, or the result
  /// of the group, for settle().
  ncclResult_t grouped(const std::function<ncclResult_t()>& calls);

 private:
  ncclResult_t state(const char* what);
  void check_group(const char* what, std::chrono::steady_clock::duration waited);
  [[noreturn]] void fail(ncclResult_t result, const char* what);
  void abort();

  ProcessGroup& group_;
  NcclFunctions functions_;
  ncclComm_t comm_ = nullptr;
  std::string failure_;  // the first failure, or empty
};

}  // namespace lighthouse::cuda
