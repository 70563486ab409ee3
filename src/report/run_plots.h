// The plots of a comparison of runs.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/report/comparison_tables.h"

namespace lighthouse {

/// One plot, or several views of the same data from which the reader selects.
struct Figure {
  std::string title;
  std::string note;
  bool wide = false;
  struct View {
    std::string name;
    std::string svg;
  };
  std::vector<View> views;  // empty: the figure has no data
};

std::vector<Figure> comparison_figures(const std::vector<ReportedRun>& runs);

}  // namespace lighthouse
