#include "run_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "lighthouse/report/plot.h"

namespace lighthouse {
namespace {

constexpr size_t kMostPoints = 500;

/// What a run has come to at a step: the x of a plot.
struct Axis {
  std::string label;
  double scale = 1;
  bool time = false;

  template <typename Metrics>
  double operator()(const Metrics& metrics) const {
    return time ? metrics.seconds * scale : static_cast<double>(metrics.tokens);
  }
};

Axis time_axis(const std::vector<ReportedRun>& runs) {
  double longest = 0;
  for (const ReportedRun& run : runs) longest = std::max(longest, run.history.steps.back().seconds);
  if (longest >= 3600) return {"hours of training", 1.0 / 3600, true};
  if (longest >= 120) return {"minutes of training", 1.0 / 60, true};
  return {"seconds of training", 1, true};
}

const Axis kTokens{"tokens", 1, false};

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

using StepValue = std::function<double(const StepMetrics&)>;

Plot step_plot(const std::vector<ReportedRun>& runs, const std::string& id, const Axis& axis,
               const std::string& y_label, const StepValue& value, bool log_x) {
  Plot plot;
  plot.id = id;
  plot.x_label = axis.label;
  plot.y_label = y_label;
  plot.log_x = log_x;
  for (size_t i = 0; i < runs.size(); ++i) {
    Points points;
    for (const StepMetrics& step : runs[i].history.steps) {
      if (!step.skipped) points.emplace_back(axis(step), value(step));
    }
    plot.curves.push_back({runs[i].name, static_cast<int>(i), thinned(points, kMostPoints, log_x)});
  }
  plot.marks = switches_of(runs, axis);
  return plot;
}

/// On a linear axis the first steps would leave no room for the rest: what is above the loss after a twentieth of the
/// run is cut off.
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
                "in the attention of each step; means over neighbouring steps. On linear axes the first steps are cut "
                "off. Dashed: a change of stage",
                true,
                {}};
  const auto loss = [](const StepMetrics& step) { return step.loss; };
  const Axis time = time_axis(runs);
  for (const bool log : {false, true}) {
    for (const Axis& axis : {kTokens, time}) {
      Plot plot = step_plot(runs, fmt::format("loss_{}_{}", axis.time ? "time" : "tokens", log ? "log" : "linear"),
                            axis, "loss (nats per token)", loss, log);
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
  Figure figure{"Validation loss", "in dense attention, on text that was not trained on", true, {}};
  const Axis time = time_axis(runs);
  for (const Axis& axis : {kTokens, time}) {
    const std::string name = axis.time ? "time" : "tokens";
    const std::string svg = draw(validation_plot(runs, "validation_" + name, axis));
    if (!svg.empty()) figure.views.push_back({name, svg});
  }
  return figure;
}

Figure small_figure(const std::vector<ReportedRun>& runs, const std::string& id, const std::string& title,
                    const std::string& unit, const StepValue& value, bool log_y) {
  Plot plot = step_plot(runs, id, kTokens, unit, value, false);
  plot.width = 540;
  plot.height = 320;
  plot.log_y = log_y;
  for (Mark& mark : plot.marks) mark.label.clear();
  Figure figure{title, "", false, {}};
  const std::string svg = draw(plot);
  if (!svg.empty()) figure.views.push_back({"", svg});
  return figure;
}

}  // namespace

std::vector<Figure> comparison_figures(const std::vector<ReportedRun>& runs) {
  std::vector<Figure> figures{loss_figure(runs), validation_figure(runs)};
  figures.push_back(small_figure(
      runs, "throughput", "Throughput", "tokens per second",
      [](const StepMetrics& step) { return step.tokens_per_second; }, false));
  figures.push_back(small_figure(
      runs, "mfu", "Model FLOPs utilisation", "percent of the device's peak",
      [](const StepMetrics& step) { return 100 * step.mfu.value_or(NAN); }, false));
  figures.push_back(small_figure(
      runs, "norm", "Gradient norm", "L2 norm, before clipping",
      [](const StepMetrics& step) { return step.gradient_norm; }, true));
  figures.push_back(small_figure(
      runs, "rate", "Learning rate", "learning rate", [](const StepMetrics& step) { return step.learning_rate; },
      false));
  std::erase_if(figures, [](const Figure& figure) { return figure.views.empty(); });
  return figures;
}

}  // namespace lighthouse
