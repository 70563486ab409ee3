// What a run is refused for before its first step, on one rank or together.
#pragma once

#include "lighthouse/config/run_config.h"
#include "lighthouse/dist/ranks.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/train/run_directory.h"

namespace lighthouse {

/// Everything that can be refused without touching the run's directory: each rank's share, the data, checkpoints that
/// are named, memory. Throws InputError on all ranks.
void check_run(const RunConfig& config, Backend& backend, const Ranks& ranks);

/// Makes and locks the run's directory, rank 0 first. Throws InputError on all ranks.
RunDirectory open_directory(const RunConfig& config, const Ranks& ranks);

/// Throws InputError if the directory's disk has no room for a checkpoint.
void check_disk(const RunDirectory& directory, const ModelConfig& model);

}  // namespace lighthouse
