// A table of what operations took.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/ops/cost.h"

namespace lighthouse {

/// A line for each kind of operation, and one for all: calls, time, share, roofline, what was reached.
std::string breakdown_of(const std::vector<OperationCost>& costs);

}  // namespace lighthouse
