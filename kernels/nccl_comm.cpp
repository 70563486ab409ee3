#ifdef LIGHTHOUSE_HAS_NCCL
#include "nccl_comm.h"

#include <fmt/format.h>

#include <exception>
#include <thread>
#include <utility>

#include "lighthouse/core/error.h"

namespace lighthouse::cuda {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

}  // namespace

NcclComm::NcclComm(ProcessGroup& group, NcclFunctions functions) : group_(group), functions_(std::move(functions)) {}

NcclComm::~NcclComm() {
  abort();
}

void NcclComm::settle(ncclResult_t result, const char* what) {
  const auto begin = Clock::now();
  while (result == ncclInProgress) {
    check_group(what, Clock::now() - begin);
    result = state(what);
    if (result == ncclInProgress) std::this_thread::sleep_for(20us);
  }
  if (is_failure(result)) fail(result, what);
}

void NcclComm::watch(const char* what, Clock::duration waited) {
  check_group(what, waited);
  if (const ncclResult_t result = state(what); is_failure(result)) fail(result, what);
}

ncclResult_t NcclComm::grouped(const std::function<ncclResult_t()>& calls) {
  if (const ncclResult_t started = functions_.group_start(); is_failure(started)) return started;
  const ncclResult_t called = calls();
  const ncclResult_t ended = functions_.group_end();
  return is_failure(called) ? called : ended;
}

/// The communicator's asynchronous status. A failed query is a failure: ncclInProgress would mean a call that is still
/// pending, ncclSuccess a call that completed.
ncclResult_t NcclComm::state(const char* what) {
  ncclResult_t state = ncclInProgress;
  const ncclResult_t asked = functions_.get_async_error(comm_, &state);
  if (asked != ncclSuccess) fail(asked, fmt::format("ncclCommGetAsyncError, during {}", what).c_str());
  return state;
}

void NcclComm::check_group(const char* what, Clock::duration waited) {
  if (!failure_.empty()) throw RunError(failure_);
  try {
    group_.check(what, waited);
  } catch (const std::exception& error) {
    failure_ = error.what();
    abort();
    throw;
  }
}

void NcclComm::fail(ncclResult_t result, const char* what) {
  // Before the abort, which frees NCCL's error text.
  failure_ = fmt::format("NCCL failed in {}: {} ({}); NCCL_DEBUG=INFO tells more", what,
                         functions_.error_string(result), comm_ == nullptr ? "" : functions_.last_error(comm_));
  abort();
  throw RunError(failure_);
}

void NcclComm::abort() {
  if (comm_ != nullptr) functions_.abort(std::exchange(comm_, nullptr));
}

}  // namespace lighthouse::cuda
#endif
