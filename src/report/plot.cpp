#include "lighthouse/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lighthouse/report/gnuplot.h"
#include "svg.h"

namespace lighthouse {
namespace {

/// A gnuplot string in single quotes, in which only the quote itself needs escaping.
std::string gnuplot_string(const std::string& text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'') result += '\'';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + "'";
}

/// A tic label, in which gnuplot also interprets "%".
std::string quoted_tic(const std::string& text) {
  std::string doubled;
  for (char c : text) doubled += c == '%' ? "%%" : std::string(1, c);
  return gnuplot_string(doubled);
}

std::string header(const std::string& id, int width, int height, const std::string& x_label,
                   const std::string& y_label) {
  return fmt::format(
      "set terminal svg size {},{} dynamic font 'sans-serif,13' name {} noenhanced\n"
      "set encoding utf8\n"
      "set tics nomirror textcolor rgb '{}' scale 0.6\n"
      "set xlabel {} textcolor rgb '{}'\n"
      "set ylabel {} textcolor rgb '{}' offset 0.5,0\n",
      width, height, gnuplot_string(id), kTextMark, gnuplot_string(x_label), kTextMark, gnuplot_string(y_label),
      kTextMark);
}

bool shows(const Plot& plot, const std::pair<double, double>& point) {
  const auto on_axis = [](double value, bool log) { return std::isfinite(value) && (!log || value > 0); };
  return on_axis(point.first, plot.log_x) && on_axis(point.second, plot.log_y);
}

/// The curves with at least one visible point.
std::vector<Curve> visible(const Plot& plot) {
  std::vector<Curve> curves = plot.curves;
  for (Curve& curve : curves) std::erase_if(curve.points, [&](const auto& point) { return !shows(plot, point); });
  std::erase_if(curves, [](const Curve& curve) { return curve.points.empty(); });
  return curves;
}

std::string marks_of(const Plot& plot) {
  std::string script;
  for (const Mark& mark : plot.marks) {
    if (plot.log_x && mark.x <= 0) continue;
    script += fmt::format("set arrow from {0},graph 0 to {0},graph 1 nohead dt (6,4) lw 1 lc rgb '{1}'\n", mark.x,
                          curve_mark(mark.colour));
    script +=
        fmt::format("set label {} at {},graph 0.98 right rotate by 90 offset -0.7,0 font ',11' textcolor rgb '{}'\n",
                    gnuplot_string(mark.label), mark.x, curve_mark(mark.colour));
  }
  return script;
}

std::string data_of(const std::vector<Curve>& curves) {
  std::string script;
  for (size_t i = 0; i < curves.size(); ++i) {
    script += fmt::format("$curve{} << END\n", i);
    for (const auto& [x, y] : curves[i].points) script += fmt::format("{:.9g} {:.9g}\n", x, y);
    script += "END\n";
  }
  return script;
}

/// A logarithmic axis ends at the extremes of the curves. If it spans little more than a decade, it gets more labels.
std::string log_y_range(const std::vector<Curve>& curves) {
  double lowest = HUGE_VAL, highest = 0;
  for (const Curve& curve : curves) {
    for (const auto& point : curve.points) {
      lowest = std::min(lowest, point.second);
      highest = std::max(highest, point.second);
    }
  }
  const double margin = highest < 1.5 * lowest ? 1.3 : 1.05;  // shows at least two labels, even for a single point
  std::string script = fmt::format("set logscale y\nset yrange [{}:{}]\n", lowest / margin, margin * highest);
  if (highest > 30 * lowest) return script;
  const double decade = std::pow(10.0, std::floor(std::log10(lowest)));
  script += "set ytics (";
  for (int tens = 0; tens < 3; ++tens) {
    for (double digit : {1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0}) {
      script += fmt::format("{}{:.6g}", tens == 0 && digit == 1.0 ? "" : ", ", digit * decade * std::pow(10.0, tens));
    }
  }
  return script + ")\n";
}

std::string plot_command(const std::vector<Curve>& curves) {
  std::string command = "plot ";
  for (size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    const bool dots = curve.marked || curve.points.size() == 1;
    const std::string mark = curve_mark(curve.colour);
    command +=
        fmt::format("{}$curve{} with {} lw {} {}lc rgb '{}' {}", i == 0 ? "" : ", ", i, dots ? "linespoints" : "lines",
                    curve.faint ? 1 : 2, dots ? "pt 7 ps 0.45 " : "", curve.faint ? "#b8" + mark.substr(1) : mark,
                    curve.name.empty() ? "notitle" : "title " + gnuplot_string(curve.name));
  }
  return command + "\n";
}

}  // namespace

std::string draw(const Plot& plot) {
  const std::vector<Curve> curves = visible(plot);
  if (curves.empty()) return "";
  std::string script = header(plot.id, plot.width, plot.height, plot.x_label, plot.y_label);
  script += fmt::format("set border 3 lc rgb '{}'\nset grid lc rgb '{}' lt 1 lw 0.6\n", kAxisMark, kGridMark);
  script += fmt::format("set key outside top left horizontal Left reverse samplen 2 textcolor rgb '{}'\n", kTextMark);
  script += "set format '%g'\n";
  if (plot.log_x) script += "set logscale x\nset autoscale xfix\n";
  if (plot.log_y) script += log_y_range(curves);
  if (plot.y_top) script += fmt::format("set yrange [*:{}]\n", *plot.y_top);
  return themed(run_gnuplot(script + marks_of(plot) + data_of(curves) + plot_command(curves)), plot.id);
}

std::string draw(const HeatMap& map) {
  const auto columns = static_cast<int>(map.columns.size()), rows = static_cast<int>(map.rows.size());
  std::string script = header(map.id, 140 + 80 * columns, 110 + 44 * rows, map.x_label, map.y_label);
  script += "unset border\nunset key\nset tics scale 0\n";
  script += fmt::format("set xrange [0:{}]\nset yrange [{}:0]\nset xtics (", columns, rows);
  for (int c = 0; c < columns; ++c)
    script += fmt::format("{}{} {}", c ? ", " : "", quoted_tic(map.columns[c]), c + 0.5);
  script += ")\nset ytics (";
  for (int r = 0; r < rows; ++r) script += fmt::format("{}{} {}", r ? ", " : "", quoted_tic(map.rows[r]), r + 0.5);
  script += ")\n";
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      const double value =
          std::clamp(map.values[static_cast<size_t>(r) * map.columns.size() + static_cast<size_t>(c)], 0.0, 1.0);
      const int transparency = static_cast<int>(std::lround(255 * (1 - 0.75 * value)));
      script += fmt::format(
          "set object rect from {},{} to {},{} fc rgb '#{:02x}{}' fs solid 1 noborder\n"
          "set label '{:.0f}%' at {},{} center front textcolor rgb '{}'\n",
          c + 0.02, r + 0.03, c + 0.98, r + 0.97, transparency, curve_mark(0).substr(1), 100 * value, c + 0.5, r + 0.5,
          kTextMark);
    }
  }
  return themed(run_gnuplot(script + "plot NaN notitle\n"), map.id);
}

std::string draw(const StackedBars& bars) {
  std::string script = header(bars.id, 540, 320, "", bars.y_label);
  script += fmt::format("set border 3 lc rgb '{}'\nset grid ytics lc rgb '{}' lt 1 lw 0.6\n", kAxisMark, kGridMark);
  script += fmt::format("set key outside right top Left reverse samplen 1 invert textcolor rgb '{}'\n", kTextMark);
  script += "set style data histograms\nset style histogram rowstacked\nset style fill solid 0.85 noborder\n";
  script +=
      "set boxwidth 0.6\nset yrange [0:*]\nset format y '%g'\nset xtics scale 0 rotate by 15 right\n$bars << END\n";
  for (size_t bar = 0; bar < bars.bars.size(); ++bar) {
    for (double value : bars.values[bar]) script += fmt::format("{:.9g} ", value);
    script += "\n";
  }
  script += "END\nset xtics (";
  for (size_t bar = 0; bar < bars.bars.size(); ++bar) {
    script += fmt::format("{}{} {}", bar ? ", " : "", quoted_tic(bars.bars[bar]), bar);
  }
  script += ")\nplot ";
  for (size_t part = 0; part < bars.parts.size(); ++part) {
    script += fmt::format("{}$bars using {} lc rgb '{}' title {}", part ? ", " : "", part + 1,
                          curve_mark(static_cast<int>(part)), gnuplot_string(bars.parts[part]));
  }
  return themed(run_gnuplot(script + "\n"), bars.id);
}

Points thinned(const Points& points, size_t most, bool logarithmic) {
  if (points.size() <= most) return points;
  const auto scale = [&](double x) { return logarithmic ? std::log(std::max(x, 1e-300)) : x; };
  const double first = scale(points.front().first), last = scale(points.back().first);
  Points result;
  double x = 0, y = 0;
  size_t count = 0, stretch = 0;
  const auto finish = [&] {
    if (count > 0) result.emplace_back(x / static_cast<double>(count), y / static_cast<double>(count));
    x = y = 0;
    count = 0;
  };
  for (const auto& point : points) {
    const double share = last > first ? (scale(point.first) - first) / (last - first) : 0;
    const auto its = std::min(most - 1, static_cast<size_t>(share * static_cast<double>(most)));
    if (its != stretch) finish();
    stretch = its;
    x += point.first;
    y += point.second;
    ++count;
  }
  finish();
  return result;
}

}  // namespace lighthouse
