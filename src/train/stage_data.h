// The data of a run's stages.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/fingerprint.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/dist/process_group.h"

namespace lighthouse {

/// A stage's training data, from its beginning. Throws InputError if it is missing or does not fit the model.
std::unique_ptr<Loader> open_loader(const RunConfig& config, const StageSection& stage);

/// Its validation data; null if it has none.
std::unique_ptr<WindowedSource> open_validation(const RunConfig& config, const StageSection& stage);

/// Throws InputError if a stage has no training data, names a source twice, or if one of its files cannot be used.
void check_data(const RunConfig& config, const StageSection& stage);

/// The fingerprints of a run's training and validation data, by pattern. Throws InputError.
std::map<std::string, DataFingerprint> fingerprint_data(const RunConfig& config);

/// The same on all ranks together. Throws AllRanksInputError unless all of them see the same data.
std::map<std::string, DataFingerprint> fingerprint_data(ProcessGroup& group, const RunConfig& config);

}  // namespace lighthouse
