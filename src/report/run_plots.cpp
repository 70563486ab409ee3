#include "run_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>

#include "lighthouse/core/units.h"
#include "lighthouse/report/plot.h"

namespace lighthouse {
namespace {

constexpr size_t kMostPoints = 500;

/// The x coordinate of a plot: a run's tokens or time at a step.
struct Axis {
  std::string label;
  double scale = 1;
  bool time = false;

  template <typename Metrics>
  double operator()(const Metrics& metrics) const {
    return scale * (time ? metrics.seconds : static_cast<double>(metrics.tokens));
  }
};

Axis time_axis(const std::vector<ReportedRun>& runs) {
  double longest = 0;
  for (const ReportedRun& run : runs) longest = std::max(longest, run.history.steps.back().seconds);
  if (longest >= 3600) return {"hours of training", 1.0 / 3600, true};
  if (longest >= 120) return {"minutes of training", 1.0 / 60, true};
  return {"seconds of training", 1, true};
}

/// The largest of 1, a thousand, a million, ... that is at most `value`.
struct Unit {
  double size;
  const char* name;
};
Unit unit_of(double value) {
  for (const Unit& unit :
       {Unit{1e12, "trillion "}, Unit{1e9, "billion "}, Unit{1e6, "million "}, Unit{1e3, "thousand "}}) {
    if (value >= unit.size) return unit;
  }
  return {1, ""};
}

Axis tokens_axis(const std::vector<ReportedRun>& runs) {
  int64_t most = 0;
  for (const ReportedRun& run : runs) most = std::max(most, run.history.steps.back().tokens);
  const Unit unit = unit_of(static_cast<double>(most));
  return {fmt::format("{}tokens", unit.name), 1 / unit.size, false};
}

std::vector<Mark> switches_of(const std::vector<ReportedRun>& runs, const Axis& axis) {
  std::vector<Mark> marks;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto& steps = runs[i].history.steps;
    for (size_t s = 1; s < steps.size(); ++s) {
      if (steps[s].stage == steps[s - 1].stage) continue;
      marks.push_back({axis(steps[s - 1]), static_cast<int>(i), steps[s - 1].stage + " → " + steps[s].stage});
    }
  }
  return marks;
}

/// Smooths over a hundredth of the run around each step, within its stage, so that a jump at a switch stays visible.
Points smoothed(const std::vector<StepMetrics>& steps, const Points& points) {
  const auto size = static_cast<int64_t>(points.size()), reach = std::max<int64_t>(2, size / 100);
  const auto stage = [&](int64_t i) -> const std::string& { return steps[static_cast<size_t>(i)].stage; };
  Points result;
  for (int64_t i = 0; i < size; ++i) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t j = std::max<int64_t>(0, i - reach); j <= std::min(size - 1, i + reach); ++j) {
      const double y = points[static_cast<size_t>(j)].second;
      if (stage(j) != stage(i) || !std::isfinite(y)) continue;
      sum += y;
      ++count;
    }
    if (count > 0) result.emplace_back(points[static_cast<size_t>(i)].first, sum / static_cast<double>(count));
  }
  return result;
}

using StepValue = std::function<double(const StepMetrics&)>;

Plot step_plot(const std::vector<ReportedRun>& runs, const std::string& id, const Axis& axis,
               const std::string& y_label, const StepValue& value, bool log_x, bool smooth_too) {
  Plot plot;
  plot.id = id;
  plot.x_label = axis.label;
  plot.y_label = y_label;
  plot.log_x = log_x;
  std::vector<Curve> above;  // drawn over the faint ones
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto& steps = runs[i].history.steps;
    Points points;
    for (const StepMetrics& step : steps) points.emplace_back(axis(step), step.skipped ? NAN : value(step));
    const auto colour = static_cast<int>(i);
    Points smooth = smooth_too ? thinned(smoothed(steps, points), kMostPoints, log_x) : Points{};
    std::erase_if(points, [](const auto& point) { return !std::isfinite(point.second); });
    (smooth_too ? plot.curves : above)
        .push_back({smooth_too ? "" : runs[i].name, colour, thinned(points, kMostPoints, log_x), false, smooth_too});
    if (smooth_too) above.push_back({runs[i].name, colour, std::move(smooth)});
  }
  std::ranges::move(above, std::back_inserter(plot.curves));
  plot.marks = switches_of(runs, axis);
  return plot;
}

/// The upper limit of a linear axis: the loss after a twentieth of the run. Otherwise the first steps would flatten the
/// rest.
std::optional<double> top_of(const Plot& plot) {
  double top = 0, lowest = HUGE_VAL;
  for (const Curve& curve : plot.curves) {
    if (curve.points.empty()) continue;
    const double from = curve.points.back().first / 20;
    for (const auto& [x, y] : curve.points) {
      if (x >= from && std::isfinite(y)) top = std::max(top, y);
      if (std::isfinite(y)) lowest = std::min(lowest, y);
    }
  }
  if (!(top > lowest)) return std::nullopt;
  return top + 0.05 * (top - lowest);
}

Figure loss_figure(const std::vector<ReportedRun>& runs) {
  Figure figure{"Training loss",
                "in the attention of each step; faint: single steps, strong: mean over a hundredth of the run. On "
                "linear axes the first steps are cut off. Dashed lines: changes of stage",
                true,
                {}};
  const auto loss = [](const StepMetrics& step) { return step.loss; };
  const Axis time = time_axis(runs);
  for (const bool log : {false, true}) {
    for (const Axis& axis : {tokens_axis(runs), time}) {
      Plot plot = step_plot(runs, fmt::format("loss_{}_{}", axis.time ? "time" : "tokens", log ? "log" : "linear"),
                            axis, "loss (nats per token)", loss, log, true);
      plot.width = 1120;
      plot.height = 460;
      plot.log_y = log;
      if (!log) plot.y_top = top_of(plot);
      figure.views.push_back(
          {fmt::format("{}{}", axis.time ? "time" : "tokens", log ? ", logarithmic" : ""), draw(plot)});
    }
  }
  return figure;
}

Plot validation_plot(const std::vector<ReportedRun>& runs, const std::string& id, const Axis& axis) {
  Plot plot;
  plot.id = id;
  plot.x_label = axis.label;
  plot.y_label = "loss (nats per token)";
  plot.width = 1120;
  for (size_t i = 0; i < runs.size(); ++i) {
    Curve curve{runs[i].name, static_cast<int>(i), {}, true};
    for (const ValidationMetrics& v : runs[i].history.validations) curve.points.emplace_back(axis(v), v.loss_dense);
    plot.curves.push_back(curve);
  }
  plot.marks = switches_of(runs, axis);
  return plot;
}

Figure validation_figure(const std::vector<ReportedRun>& runs) {
  Figure figure{"Validation loss", "in dense attention, on held-out text", true, {}};
  const Axis time = time_axis(runs);
  for (const Axis& axis : {tokens_axis(runs), time}) {
    const std::string name = axis.time ? "time" : "tokens";
    const std::string svg = draw(validation_plot(runs, "validation_" + name, axis));
    if (!svg.empty()) figure.views.push_back({name, svg});
  }
  return figure;
}

Figure small_figure(const std::vector<ReportedRun>& runs, const std::string& id, const std::string& title,
                    const std::string& unit, const StepValue& value, bool log_y = false) {
  Plot plot = step_plot(runs, id, tokens_axis(runs), unit, value, false, log_y);
  plot.width = 540;
  plot.height = 320;
  plot.log_y = log_y;
  for (Mark& mark : plot.marks) mark.label.clear();
  Figure figure{title, "", false, {}};
  const std::string svg = draw(plot);
  if (!svg.empty()) figure.views.push_back({"", svg});
  return figure;
}

Figure throughput_figure(const std::vector<ReportedRun>& runs) {
  double most = 0;
  for (const ReportedRun& run : runs) {
    for (const StepMetrics& step : run.history.steps) most = std::max(most, step.tokens_per_second);
  }
  const Unit unit = unit_of(most);
  return small_figure(runs, "throughput", "Throughput", fmt::format("{}tokens per second", unit.name),
                      [=](const StepMetrics& step) { return step.tokens_per_second / unit.size; });
}

Figure memory_figure(const std::vector<ReportedRun>& runs) {
  double most = 0;
  StackedBars bars{"memory", "", {}, {}, {}};
  for (const ReportedRun& run : runs) {
    const auto uses = memory_of(run);
    bars.bars.push_back(run.name);
    bars.parts.clear();
    double all = 0;
    std::vector<double> values;
    for (const auto& [use, bytes] : uses) {
      bars.parts.push_back(use);
      values.push_back(static_cast<double>(bytes));
      all += values.back();
    }
    most = std::max(most, all);
    bars.values.push_back(values);
  }
  const bool large = most >= static_cast<double>(kGibibyte);
  const auto unit = static_cast<double>(large ? kGibibyte : kMebibyte);
  bars.y_label = large ? "GiB" : "MiB";
  for (auto& values : bars.values) {
    for (double& value : values) value /= unit;
  }
  return {"Memory", "", false, {{"", draw(bars)}}};
}

}  // namespace

std::vector<Figure> comparison_figures(const std::vector<ReportedRun>& runs) {
  std::vector<Figure> figures{loss_figure(runs), validation_figure(runs), throughput_figure(runs)};
  figures.push_back(small_figure(
      runs, "norm", "Gradient norm", "L2 norm, before clipping",
      [](const StepMetrics& step) { return step.gradient_norm; }, true));
  figures.push_back(small_figure(runs, "rate", "Learning rate", "learning rate",
                                 [](const StepMetrics& step) { return step.learning_rate; }));
  figures.push_back(memory_figure(runs));
  figures.push_back(small_figure(runs, "mfu", "Utilisation", "model FLOPs, percent of the device's peak",
                                 [](const StepMetrics& step) { return 100 * step.mfu.value_or(NAN); }));
  std::erase_if(figures, [](const Figure& figure) { return figure.views.empty(); });
  return figures;
}

}  // namespace lighthouse
