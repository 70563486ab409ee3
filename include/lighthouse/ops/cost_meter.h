// Counts or times the operations of a backend: the tables of `lighthouse plan` and of the benchmarks.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/cost.h"

namespace lighthouse {

/// Adds the cost of each operation of a backend to a table, by kind of operation, from its construction to its
/// destruction. Meters of one backend nest: only the innermost sees operations. A meter sees the operations of the
/// thread that constructed it. While there is a meter, that thread captures nothing.
///
/// Bytes are the least that can move: inputs are read once, outputs written once, and what is added to is read and
/// written. Scratch and the host's side of a copy do not count; an embedding counts one row a token. Attention inside
/// documents counts as attention over whole sequences, because the documents' bounds are in device memory.
class CostMeter final : public OperationObserver {
 public:
  enum class Mode : uint8_t {
    /// Operations are counted and not run: tensors need no memory, as those of a measuring Arena.
    kCount,
    /// Operations are run and timed by the host's clock, with a wait for the stream before and after each. Operations
    /// do not overlap, and the time of a short one is mostly its launch. The time of an empty wait (some microseconds
    /// on a GPU) is measured in the constructor and subtracted.
    kTime,
    /// As kTime, but each operation runs many times in a row, if possible as a captured graph, so that short operations
    /// are timed correctly. Results are wrong where an operation adds to its output or updates it in place.
    kTimeRepeated,
  };

  /// `backend` must outlive the meter. `rates` are for the rooflines.
  CostMeter(Backend& backend, Mode mode, const Rates& rates = {});
  ~CostMeter() override;
  CostMeter(const CostMeter&) = delete;
  CostMeter& operator=(const CostMeter&) = delete;

  /// One entry for each kind of operation, in the order of first use.
  const std::vector<OperationCost>& costs() const { return costs_; }
  void reset() { costs_.clear(); }

  void observe(const Stream& stream, const Operation& operation, const std::function<void()>& run) override;

 private:
  double seconds_of(const Stream& stream, const std::function<void()>& run);
  double seconds_of_one(const Stream& stream, const std::function<void()>& run);
  void add(const OperationCost& call);

  Backend& backend_;
  Mode mode_;
  Rates rates_;
  double empty_seconds_ = 0;  // what seconds_of() an empty function returns
  std::vector<OperationCost> costs_;
  OperationObserver* previous_ = nullptr;
};

}  // namespace lighthouse
