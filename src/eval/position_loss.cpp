#include "lighthouse/eval/position_loss.h"

#include <fmt/format.h>

#include <algorithm>
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
    throw InputError(
        fmt::format("cannot divide {} positions into {} ranges; expected 1 to {} ranges", length, count, length));
  }
  std::vector<PositionRange> ranges;
  for (int64_t i = 0; i < count; ++i) ranges.push_back({i * length / count, (i + 1) * length / count});
  return ranges;
}

PositionLosses::PositionLosses(std::vector<PositionRange> ranges)
    : ranges_(std::move(ranges)), means_(ranges_.size()) {}

void PositionLosses::add(std::span<const float> losses) {
  if (static_cast<int64_t>(losses.size()) != ranges_.back().end) {
    throw std::logic_error("PositionLosses::add: the window's length is not that of the ranges");
  }
  ++windows_;
  double total = 0;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const double sum = std::accumulate(losses.begin() + ranges_[i].begin, losses.begin() + ranges_[i].end, 0.0);
    means_[i].add(sum / static_cast<double>(ranges_[i].end - ranges_[i].begin));
    total += sum;
  }
  overall_.add(total / static_cast<double>(losses.size()));
}

std::vector<PositionLoss> PositionLosses::by_range() const {
  std::vector<PositionLoss> losses;
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const Estimate estimate = means_[i].estimate();
    losses.push_back({ranges_[i], estimate.mean, estimate.standard_error});
  }
  return losses;
}

PositionLoss PositionLosses::overall() const {
  const Estimate estimate = overall_.estimate();
  return {{0, ranges_.back().end}, estimate.mean, estimate.standard_error};
}

}  // namespace lighthouse
