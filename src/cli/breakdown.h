// A table of the times of operations.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/ops/cost.h"

namespace lighthouse {

/// One row for each kind of operation, and one for the total: calls, time, share, roofline, rates.
std::string breakdown_of(const std::vector<OperationCost>& costs);

}  // namespace lighthouse
