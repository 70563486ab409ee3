// The mean of independent values, with its standard error.
#pragma once

#include <cmath>
#include <cstdint>

namespace lighthouse {

struct Estimate {
  double mean = 0;
  double standard_error = 0;  // of the mean; 0 for a single value

  friend bool operator==(const Estimate&, const Estimate&) = default;
};

/// Accumulates a mean in float64 by Welford's recurrence.
class RunningMean {
 public:
  void add(double value) {
    ++count_;
    const double before = value - mean_;
    mean_ += before / static_cast<double>(count_);
    squares_ += before * (value - mean_);
  }

  /// The estimate so far; {0, 0} before the first add().
  Estimate estimate() const {
    const auto n = static_cast<double>(count_);
    return {mean_, count_ > 1 ? std::sqrt(squares_ / (n - 1) / n) : 0};
  }

 private:
  int64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;  // sum of squared deviations from the mean
};

}  // namespace lighthouse
