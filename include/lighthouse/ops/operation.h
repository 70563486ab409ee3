// One call of an operation as a meter sees it, and the base of the interfaces that declare operations.
#pragma once

#include <functional>
#include <string>
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

  /// Makes `observer` see every later operation; null: nobody does. Returns the previous observer. The observer must
  /// outlive its use. While there is one, a single thread may use the backend.
  OperationObserver* set_observer(OperationObserver* observer);
  bool is_observed() const { return observer_ != nullptr; }

 protected:
  ~OperationSet() = default;

  /// Calls `work`, or the observer with it and with what `describe` returns (an Operation).
  template <typename Describe, typename Work>
  void run(const Stream& stream, const Describe& describe, const Work& work) {
    if (observer_ == nullptr) return work();
    observe(stream, describe(), work);
  }
  /// Throws std::logic_error: the backend does not implement `function`.
  [[noreturn]] static void not_implemented(const char* function);

 private:
  void observe(const Stream& stream, const Operation& operation, const std::function<void()>& work);

  OperationObserver* observer_ = nullptr;
};

}  // namespace lighthouse
