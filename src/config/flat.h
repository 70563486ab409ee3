// A config as a flat list of keys and values, for comparison.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// ("run.name", "quickstart"), ("stages.0.steps", "1000"), ...
std::vector<std::pair<std::string, std::string>> flatten(const RunConfig& config);

}  // namespace lighthouse
