// The plots of a comparison.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/report/comparison_tables.h"

namespace lighthouse {

/// One plot, or several of the same that a reader chooses among.
struct Figure {
  std::string title;
  std::string note;
  bool wide = false;
  struct View {
    std::string name;
    std::string svg;
  };
  std::vector<View> views;  // empty if there is nothing to show
};

std::vector<Figure> comparison_figures(const std::vector<ReportedRun>& runs);

}  // namespace lighthouse
