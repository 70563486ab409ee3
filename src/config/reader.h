// Fills a RunConfig's fields from a tree.
#pragma once

#include "config_node.h"
#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Reads every field that the tree has and leaves the others at their defaults. Throws InputError for an unknown key, a
/// wrong type, a value out of range, or a missing value that has no default.
RunConfig read_fields(const ConfigNode& root);

}  // namespace lighthouse
