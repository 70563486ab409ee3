// A comparison of runs as a self-contained HTML page, without network access or scripts.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/report/comparison_tables.h"

namespace lighthouse {

/// Plots of loss against tokens and time, validation loss, throughput, gradient norm and learning rate, and the tables.
/// Throws InputError without gnuplot.
std::string comparison_page(const std::vector<ReportedRun>& runs);

}  // namespace lighthouse
