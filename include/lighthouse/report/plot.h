// Plots as SVG that takes its colours from the page.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lighthouse {

using Points = std::vector<std::pair<double, double>>;

struct Curve {
  std::string name;  // in the legend; "": no entry
  int colour = 0;    // index into the palette, modulo kColours
  Points points;
  bool marked = false;  // draw a dot at each point
  bool faint = false;   // draw in a light colour, behind another curve
};

/// A vertical line across the plot.
struct Mark {
  double x = 0;
  int colour = 0;
  std::string label;
};

struct Plot {
  std::string id;  // letters, digits and "_"; unique on a page
  std::string x_label, y_label;
  bool log_x = false, log_y = false;
  std::optional<double> y_top;  // upper limit of the y axis
  std::vector<Curve> curves;
  std::vector<Mark> marks;
  int width = 760, height = 400;
};

/// A heat map of fractions, 0 to 1, with rows from the top.
struct HeatMap {
  std::string id;
  std::string x_label, y_label;
  std::vector<std::string> columns, rows;
  std::vector<double> values;  // row-major
};

/// Stacked bars.
struct StackedBars {
  std::string id;
  std::string y_label;
  std::vector<std::string> bars, parts;
  std::vector<std::vector<double>> values;  // values[bar][part]
};

inline constexpr int kColours = 8;

/// Returns an <svg> element for a page whose style includes plot_colours(). Omits points that an axis cannot show (not
/// finite, or not above 0 on a logarithmic axis). Throws InputError without gnuplot.
std::string draw(const Plot& plot);
std::string draw(const HeatMap& map);
std::string draw(const StackedBars& bars);

/// CSS variables with the colours of plots, for light and dark pages.
std::string plot_colours();

/// The element as a standalone file that includes plot_colours().
std::string standalone(const std::string& svg);

/// Reduces points to at most `most`: means over intervals of equal length in x, or in log x.
Points thinned(const Points& points, size_t most, bool logarithmic);

}  // namespace lighthouse
