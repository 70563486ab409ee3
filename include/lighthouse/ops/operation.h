// One call of an operation as a meter sees it, and the base of the interfaces that declare operations.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/cost.h"
#include "lighthouse/ops/stream.h"

namespace lighthouse {

/// What one call of an operation does. Scratch is not listed.
struct Operation {
  std::string kind = {};  // a row of a breakdown: "attention forward"
  Work work = Work::kTraffic;
  double flops = 0;                  // floating-point operations of products and attention; 0 for kTraffic
  std::vector<Tensor> writes = {};   // overwritten, or the part of a tensor that is
  std::vector<Tensor> reads = {};    // read only
  std::vector<Tensor> updates = {};  // read and written

  /// The least traffic of device memory: inputs are read once, outputs written once.
  double bytes() const;
};

/// The tensors that are given, of arguments that may be empty. An empty tensor has rank 0.
template <typename... Tensors>
std::vector<Tensor> given(const Tensors&... tensors) {
  std::vector<Tensor> list;
  ((tensors.rank() > 0 ? list.push_back(tensors) : void()), ...);
  return list;
}

/// Sees every operation of a backend: counts, times or checks it.
class OperationObserver {
 public:
  virtual ~OperationObserver() = default;
  /// Called instead of the operation; `run` runs it. Operations that it calls itself are not observed.
  virtual void observe(const Stream& stream, const Operation& operation, const std::function<void()>& run) = 0;
};

/// Base of the interfaces that declare operations. All interfaces of a backend share one, so that an observer sees the
/// operations of all.
///
/// The public function of an operation is not virtual: it checks the arguments, describes the operation to an observer
/// and calls the device's private do_...() through run().
class OperationSet {
 public:
  OperationSet() = default;
  OperationSet(const OperationSet&) = delete;
  OperationSet& operator=(const OperationSet&) = delete;

  /// Makes `observer` see every later operation of the calling thread; null: nobody sees them. Other threads'
  /// operations, such as the copies of a communicator, run unobserved. Returns the previous observer. One thread at a
  /// time observes a backend, and the observer must outlive its use.
  OperationObserver* set_observer(OperationObserver* observer);
  /// Whether an observer sees the operations of the calling thread.
  bool is_observed() const { return observer_ != nullptr && observed_thread_.load() == std::this_thread::get_id(); }

 protected:
  ~OperationSet() = default;

  /// Calls `work`, or the observer with it and with what `describe` returns (an Operation).
  template <typename Describe, typename Work>
  void run(const Stream& stream, const Describe& describe, const Work& work) {
    if (!is_observed()) return work();
    observe(stream, describe(), work);
  }
  /// Throws std::logic_error: the backend does not implement `function`.
  [[noreturn]] static void not_implemented(const char* function);

 private:
  void observe(const Stream& stream, const Operation& operation, const std::function<void()>& work);

  std::atomic<OperationObserver*> observer_ = nullptr;
  std::atomic<std::thread::id> observed_thread_;
};

}  // namespace lighthouse
