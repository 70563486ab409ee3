// What is drawn: curves and heat maps, as SVG that takes its colours from the page.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lighthouse {

using Points = std::vector<std::pair<double, double>>;

struct Curve {
  std::string name;  // in the legend; "" for none
  int colour = 0;    // of kColours, in turn
  Points points;
  bool marked = false;  // a dot at each point
  bool faint = false;   // behind another
};

/// A vertical line across the plot.
struct Mark {
  double x = 0;
  int colour = 0;
  std::string label;
};

struct Plot {
  std::string id;  // letters, digits and "_": different for each plot of a page
  std::string x_label, y_label;
  bool log_x = false, log_y = false;
  std::optional<double> y_top;  // what lies above is cut off
  std::vector<Curve> curves;
  std::vector<Mark> marks;
  int width = 760, height = 400;
};

/// Shares, 0 to 1, in rows from the top.
struct HeatMap {
  std::string id;
  std::string x_label, y_label;
  std::vector<std::string> columns, rows;
  std::vector<double> values;  // row by row
};

/// Bars, each of parts one above another.
struct StackedBars {
  std::string id;
  std::string y_label;
  std::vector<std::string> bars, parts;
  std::vector<std::vector<double>> values;  // of each bar, part by part
};

inline constexpr int kColours = 8;

/// An <svg> element for a page whose style has plot_colours(). Points that an axis cannot show (not finite, or not
/// above 0 on a logarithmic one) are left out. Throws InputError without gnuplot.
std::string draw(const Plot& plot);
std::string draw(const HeatMap& map);
std::string draw(const StackedBars& bars);

/// CSS: the colours of plots as variables, for light and dark.
std::string plot_colours();

/// The element as a file of its own, with plot_colours() inside.
std::string standalone(const std::string& svg);

/// At most `most` points: means over stretches of equal length of x, or of its logarithm.
Points thinned(const Points& points, size_t most, bool logarithmic);

}  // namespace lighthouse
