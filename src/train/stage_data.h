// Opens and checks the data of a run's stages.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/fingerprint.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/dist/process_group.h"

namespace lighthouse {

/// Opens a stage's training data at its beginning. Throws InputError if it is missing or has tokens outside the model's
/// vocabulary.
std::unique_ptr<Loader> open_loader(const RunConfig& config, const StageSection& stage);

/// The same for its validation data; null if it has none.
std::unique_ptr<WindowedSource> open_validation(const RunConfig& config, const StageSection& stage);

/// Throws InputError if a stage has no training data, names a source twice, or if one of its files cannot be used.
void check_data(const RunConfig& config, const StageSection& stage);

/// The fingerprints of a run's training and validation data, by pattern. All ranks call it together. Throws
/// AllRanksInputError if a rank cannot read the data or sees other data than rank 0.
std::map<std::string, DataFingerprint> fingerprint_data(ProcessGroup& group, const RunConfig& config);

}  // namespace lighthouse
