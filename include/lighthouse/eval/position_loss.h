// Loss by position in the sequence. A model that uses distant context has a loss that keeps falling towards the end of
// the sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lighthouse/eval/running_mean.h"

namespace lighthouse {

/// Positions [begin, end) of the input, from 0. The model predicts the target of position i from i + 1 tokens.
struct PositionRange {
  int64_t begin = 0;
  int64_t end = 0;

  friend bool operator==(const PositionRange&, const PositionRange&) = default;
};

/// [0, first), [first, 2 first), [2 first, 4 first), ... up to `length`. A last range shorter than half its nominal
/// length is merged into the range before it.
std::vector<PositionRange> doubling_ranges(int64_t length, int64_t first = 64);

/// `count` ranges whose lengths differ by at most one. Throws InputError unless 1 <= count <= length.
std::vector<PositionRange> equal_ranges(int64_t length, int64_t count);

struct PositionLoss {
  PositionRange range;
  double loss = 0;            // mean, nats per token
  double standard_error = 0;  // of the mean, from the variation over windows
};

/// Mean losses over windows, accumulated in float64.
class PositionLosses {
 public:
  explicit PositionLosses(std::vector<PositionRange> ranges);

  /// Adds one window's losses, one for each position up to the end of the last range.
  void add(std::span<const float> losses);

  int64_t windows() const { return windows_; }
  /// The mean loss of each range. Requires at least one add().
  std::vector<PositionLoss> by_range() const;
  /// The mean loss over all positions.
  PositionLoss overall() const;

 private:
  std::vector<PositionRange> ranges_;
  std::vector<RunningMean> means_;  // for each range, over the windows' means
  RunningMean overall_;
  int64_t windows_ = 0;
};

}  // namespace lighthouse
