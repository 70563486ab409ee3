// The checks of settings that must fit together.
#pragma once

#include "config_node.h"
#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Throws InputError for the first that do not. `root` is what the config was read from: it tells where they stand. The
/// tokenizer of a run that was saved may be missing: it has served.
void check_config(const RunConfig& config, const ConfigNode& root, bool saved);

}  // namespace lighthouse
