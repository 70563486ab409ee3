// Fills a RunConfig's fields from a tree.
#pragma once

#include "config_node.h"
#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Reads every field that the tree has and leaves the others at their defaults. Throws InputError for an unknown key, a
/// wrong type, a value out of range, or a missing value that has no default. Paths are expanded (core/path.h) unless
/// the program wrote the config itself.
RunConfig read_fields(const ConfigNode& root, bool saved);

}  // namespace lighthouse
