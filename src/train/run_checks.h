// What can be checked before a run's first step.
#pragma once

#include "lighthouse/config/run_config.h"
#include "lighthouse/dist/ranks.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/train/optimizer.h"
#include "lighthouse/train/run_directory.h"

namespace lighthouse {

/// The config with its document ends, after all checks that do not need the run's directory: batch split, data,
/// checkpoints that the config names, memory. All ranks call it together. Throws InputError on all ranks.
RunConfig checked_config(const RunConfig& config, Backend& backend, const Ranks& ranks);

/// Creates and locks the run's directory, rank 0 first. All ranks call it together. Throws InputError on all ranks.
RunDirectory open_directory(const RunConfig& config, const Ranks& ranks);

/// Throws InputError if the directory's disk has no space for a checkpoint.
void check_disk(const RunDirectory& directory, const Optimizer& optimizer, const ModelConfig& model);

}  // namespace lighthouse
