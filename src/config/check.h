// Checks of settings that must be consistent with one another.
#pragma once

#include "config_node.h"
#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Throws InputError for the first inconsistency. `root` is the tree from which the config was read; it supplies
/// positions for messages. With `saved`, the tokenizer may be missing, because a saved run has already used it.
void check_config(const RunConfig& config, const ConfigNode& root, bool saved);

}  // namespace lighthouse
