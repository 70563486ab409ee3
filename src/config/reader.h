// Reading of a RunConfig from a tree.
#pragma once

#include "config_node.h"
#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Reads the fields that the tree has and leaves the others at their defaults. Throws InputError for an unknown key, a
/// wrong type, a value out of range, and a missing value without a default. Expands paths (core/path.h) unless the
/// config was saved by the program (`saved`).
RunConfig read_fields(const ConfigNode& root, bool saved);

}  // namespace lighthouse
