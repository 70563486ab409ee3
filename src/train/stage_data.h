// The data of a run's stages.
#pragma once

#include <memory>
#include <string>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/dist/group.h"

namespace lighthouse {

/// A stage's training data, from its beginning. Throws InputError if it is missing or does not fit the model.
std::unique_ptr<Loader> open_loader(const RunConfig& config, const StageSection& stage);

/// Its validation data; null if it has none.
std::unique_ptr<WindowedSource> open_validation(const RunConfig& config, const StageSection& stage);

/// Throws InputError if a stage has no training data, names a source twice, or if one of its files cannot be used.
void check_data(const RunConfig& config, const StageSection& stage);

/// Throws AgreedError unless all ranks see the same data: names and sizes of shards, and their first and last tokens.
void check_same_data(Group& group, const RunConfig& config);

}  // namespace lighthouse
