#include "lighthouse/eval/position_loss.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "lighthouse/core/error.h"

namespace lighthouse {

std::vector<PositionRange> doubling_ranges(int64_t length, int64_t first) {
  std::vector<PositionRange> ranges{{0, std::min(first, length)}};
  while (ranges.back().end < length) {
    const int64_t begin = ranges.back().end;
    ranges.push_back({begin, std::min(2 * begin, length)});
  }
  const PositionRange last = ranges.back();
  if (ranges.size() > 2 && 2 * (last.end - last.begin) < last.begin) {
    ranges.pop_back();
    ranges.back().end = length;
  }
  return ranges;
}

std::vector<PositionRange> equal_ranges(int64_t length, int64_t count) {
  if (count < 1 || count > length) {
    throw InputError(fmt::format("{} ranges of {} positions cannot be; expected 1 to {}", count, length, length));
  }
  std::vector<PositionRange> ranges;
  for (int64_t i = 0; i < count; ++i) ranges.push_back({i * length / count, (i + 1) * length / count});
  return ranges;
}

PositionLosses::PositionLosses(std::vector<PositionRange> ranges)
    : ranges_(std::move(ranges)), moments_(ranges_.size()) {}

void PositionLosses::Moments::add(double value, int64_t count) {
  const double before = value - mean;
  mean += before / static_cast<double>(count);
  squares += before * (value - mean);
}

void PositionLosses::add(std::span<const float> losses) {
  if (static_cast<int64_t>(losses.size()) != ranges_.back().end) {
    throw std::logic_error("PositionLosses: a window of another length than its ranges");
  }
  ++windows_;
  double total = 0;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const double sum = std::accumulate(losses.begin() + ranges_[i].begin, losses.begin() + ranges_[i].end, 0.0);
    moments_[i].add(sum / static_cast<double>(ranges_[i].end - ranges_[i].begin), windows_);
    total += sum;
  }
  overall_.add(total / static_cast<double>(losses.size()), windows_);
}

PositionLoss PositionLosses::summary(const PositionRange& range, const Moments& moments) const {
  const auto n = static_cast<double>(windows_);
  return {range, moments.mean, windows_ > 1 ? std::sqrt(moments.squares / (n - 1) / n) : 0};
}

std::vector<PositionLoss> PositionLosses::by_range() const {
  std::vector<PositionLoss> losses;
  for (size_t i = 0; i < ranges_.size(); ++i) losses.push_back(summary(ranges_[i], moments_[i]));
  return losses;
}

PositionLoss PositionLosses::overall() const {
  return summary({0, ranges_.back().end}, overall_);
}

}  // namespace lighthouse
