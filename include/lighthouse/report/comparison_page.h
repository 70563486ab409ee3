// Runs side by side as one HTML page that needs nothing else: no network, no script.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/report/comparison_tables.h"

namespace lighthouse {

/// Loss against tokens and time, validation loss, throughput, gradient norm, learning rate, and the tables. Throws
/// InputError without gnuplot.
std::string comparison_page(const std::vector<ReportedRun>& runs);

}  // namespace lighthouse
