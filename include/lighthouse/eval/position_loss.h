// Loss by position: whether a model makes use of what lies far back. Where it does, the loss keeps falling towards the
// end of the sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lighthouse/eval/running_mean.h"

namespace lighthouse {

/// Positions [begin, end) of the input, counted from 0: the target of position i is predicted from i + 1 tokens.
struct PositionRange {
  int64_t begin = 0;
  int64_t end = 0;

  friend bool operator==(const PositionRange&, const PositionRange&) = default;
};

/// [0, first), then ranges that double: [first, 2 first), ... up to `length`. A last range shorter than half of what it
/// should be goes to the one before it.
std::vector<PositionRange> doubling_ranges(int64_t length, int64_t first = 64);

/// `count` ranges of equal length, up to one position. Throws InputError unless 1 <= count <= length.
std::vector<PositionRange> equal_ranges(int64_t length, int64_t count);

struct PositionLoss {
  PositionRange range;
  double loss = 0;            // mean, nats per token
  double standard_error = 0;  // of that mean, from how windows differ; 0 for a single window
};

/// Means over windows, accumulated in float64.
class PositionLosses {
 public:
  explicit PositionLosses(std::vector<PositionRange> ranges);

  /// Losses of one window, one a position; as many as the last range ends at.
  void add(std::span<const float> losses);

  int64_t windows() const { return windows_; }
  /// After add().
  std::vector<PositionLoss> by_range() const;
  /// Over all positions.
  PositionLoss overall() const;

 private:
  std::vector<PositionRange> ranges_;
  std::vector<RunningMean> means_;  // of the windows' means in each range
  RunningMean overall_;
  int64_t windows_ = 0;
};

}  // namespace lighthouse
