#include "lighthouse/train/comparison.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace lighthouse {
namespace {

/// Number of steps of a mean training loss.
constexpr size_t kWindow = 10;

using Steps = std::vector<StepMetrics>;

/// Mean loss of the last kWindow steps of [begin, end) that were not skipped.
std::optional<double> mean_of_last(const Steps& steps, size_t begin, size_t end) {
  double sum = 0;
  size_t count = 0;
  for (size_t i = end; i > begin && count < kWindow; --i) {
    if (steps[i - 1].skipped) continue;
    sum += steps[i - 1].loss;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

/// The value at `where` of the piecewise linear curve through `points`, which are sorted by their first coordinate.
std::optional<double> interpolate(const std::vector<std::pair<double, double>>& points, double where) {
  const auto right = std::lower_bound(points.begin(), points.end(), where,
                                      [](const auto& point, double x) { return point.first < x; });
  if (right == points.end()) return std::nullopt;
  if (right->first == where) return right->second;
  if (right == points.begin()) return std::nullopt;
  const auto left = right - 1;
  const double share = (where - left->first) / (right->first - left->first);
  return left->second + share * (right->second - left->second);
}

template <typename Coordinate>
std::optional<double> validation_at(const RunHistory& history, double where, const Coordinate& coordinate) {
  std::vector<std::pair<double, double>> points;
  for (const ValidationMetrics& m : history.validations) points.emplace_back(coordinate(m), m.loss_dense);
  return interpolate(points, where);
}

template <typename Coordinate>
std::optional<double> training_at(const RunHistory& history, double where, const Coordinate& coordinate) {
  size_t end = 0;
  while (end < history.steps.size() && coordinate(history.steps[end]) <= where) ++end;
  return mean_of_last(history.steps, 0, end);
}

template <typename M>
double tokens_of(const M& metrics) {
  return static_cast<double>(metrics.tokens);
}
template <typename M>
double seconds_of(const M& metrics) {
  return metrics.seconds;
}

/// The index of each stage's first step, and the number of steps.
std::vector<size_t> stage_bounds(const Steps& steps) {
  std::vector<size_t> bounds;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i == 0 || steps[i].stage != steps[i - 1].stage) bounds.push_back(i);
  }
  bounds.push_back(steps.size());
  return bounds;
}

double common(const std::vector<RunHistory>& histories, const std::function<double(const RunHistory&)>& last) {
  double smallest = std::numeric_limits<double>::infinity();
  for (const RunHistory& history : histories) smallest = std::min(smallest, last(history));
  return smallest;
}

}  // namespace

std::vector<StageSummary> summarise_stages(const RunHistory& history) {
  std::vector<StageSummary> stages;
  const std::vector<size_t> bounds = stage_bounds(history.steps);
  for (size_t s = 0; s + 1 < bounds.size(); ++s) {
    StageSummary stage;
    stage.name = history.steps[bounds[s]].stage;
    double seconds = 0;
    double tokens = 0;
    int64_t dense = 0;
    AttentionKind stage_kind = AttentionKind::kDense;  // of the steps that are not dense
    int64_t before = bounds[s] == 0 ? 0 : history.steps[bounds[s] - 1].tokens;
    for (size_t i = bounds[s]; i < bounds[s + 1]; ++i) {
      const StepMetrics& step = history.steps[i];
      const auto of_step = static_cast<double>(step.tokens - before);
      before = step.tokens;
      tokens += of_step;
      seconds += of_step / step.tokens_per_second;
      dense += step.attention == AttentionKind::kDense;
      if (step.attention != AttentionKind::kDense) stage_kind = step.attention;
    }
    stage.steps = static_cast<int64_t>(bounds[s + 1] - bounds[s]);
    stage.attention = 2 * dense > stage.steps ? AttentionKind::kDense : stage_kind;
    stage.tokens_per_second = tokens / seconds;
    stages.push_back(stage);
  }
  return stages;
}

std::vector<SwitchSummary> summarise_switches(const RunHistory& history) {
  const Steps& steps = history.steps;
  std::vector<SwitchSummary> switches;
  const std::vector<size_t> bounds = stage_bounds(steps);
  for (size_t s = 1; s + 1 < bounds.size(); ++s) {
    const size_t first = bounds[s];
    const auto before = mean_of_last(steps, bounds[s - 1], first);
    if (!before) continue;
    SwitchSummary change{steps[first - 1].stage, steps[first].stage, steps[first - 1].step, *before,
                         steps[first].loss,      std::nullopt};
    for (size_t end = first + 1; end <= bounds[s + 1] && !change.steps_to_recover; ++end) {
      const auto now = mean_of_last(steps, first, end);
      if (now && *now <= *before) change.steps_to_recover = static_cast<int64_t>(end - first);
    }
    switches.push_back(change);
  }
  return switches;
}

std::optional<double> dense_validation_at_tokens(const RunHistory& history, double tokens) {
  return validation_at(history, tokens, tokens_of<ValidationMetrics>);
}
std::optional<double> dense_validation_at_seconds(const RunHistory& history, double seconds) {
  return validation_at(history, seconds, seconds_of<ValidationMetrics>);
}
std::optional<double> training_loss_at_tokens(const RunHistory& history, double tokens) {
  return training_at(history, tokens, tokens_of<StepMetrics>);
}
std::optional<double> training_loss_at_seconds(const RunHistory& history, double seconds) {
  return training_at(history, seconds, seconds_of<StepMetrics>);
}

double common_tokens(const std::vector<RunHistory>& histories) {
  return common(histories, [](const RunHistory& h) { return h.steps.empty() ? 0 : tokens_of(h.steps.back()); });
}
double common_seconds(const std::vector<RunHistory>& histories) {
  return common(histories, [](const RunHistory& h) { return h.steps.empty() ? 0 : seconds_of(h.steps.back()); });
}

}  // namespace lighthouse
