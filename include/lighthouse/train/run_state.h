// Where a run is and what it is made with: what a checkpoint records besides tensors.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "lighthouse/dist/ranks.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {

/// How far a run is.
struct RunPosition {
  int64_t steps = 0;  // finished
  int64_t tokens = 0;
  double seconds = 0;  // of training
  int64_t skipped_in_a_row = 0;
  bool evaluation_pending = false;                // the evaluation due at this step has not run
  std::map<std::string, SourceProgress> sources;  // by path
};

/// What decides the bits of a run besides its config.
struct RunProvenance {
  std::map<std::string, DataFingerprint> data;  // by pattern
  std::string tokenizer;                        // its digest
  std::string environment;                      // program, compiler, backend, number of ranks, communication library
};

/// All ranks call it together. Throws InputError if data or tokenizer cannot be read, AllRanksInputError if the ranks
/// have different data.
RunProvenance provenance_of(const RunConfig& config, const Backend& backend, const Ranks& ranks);

/// The state of a checkpoint after position.steps steps, at least 1.
CheckpointState checkpoint_state(const RunConfig& config, const RunProvenance& provenance, const RunPosition& position,
                                 int64_t optimizer_updates);

}  // namespace lighthouse
