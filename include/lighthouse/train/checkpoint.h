// A run's state on disk: model.safetensors, optimizer.safetensors and state.json in a folder that appears whole or not
// at all. Of several ranks each writes its part of the optimizer's state, optimizer-00001-of-00004.safetensors and so
// on; state.json lists the files. Any number of ranks can read what any other number wrote.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/fingerprint.h"
#include "lighthouse/dist/process_group.h"
#include "lighthouse/io/safetensors.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/train/adamw.h"

namespace lighthouse {

/// How far a run has read in one source of its data (LoaderPosition).
struct SourceProgress {
  int64_t tokens = 0;
  int64_t mixed = 0;

  friend bool operator==(const SourceProgress&, const SourceProgress&) = default;
};

/// Everything but tensors.
struct CheckpointState {
  int64_t step = 0;   // finished steps
  std::string stage;  // of the last one
  int64_t tokens = 0;
  double seconds = 0;
  int64_t optimizer_updates = 0;
  int64_t skipped_in_a_row = 0;
  bool end_of_stage = false;
  bool evaluation_pending = false;               // stopped by a signal before the evaluation that was due at this step
  std::map<std::string, SourceProgress> loader;  // by the source's path
  std::map<std::string, DataFingerprint> data;   // of training and validation, by pattern; empty: not known
  int64_t seed = 0;                              // of the counter-based random numbers, which have no other state
  std::string config;                            // resolved, as YAML
  std::string tokenizer;                         // its digest; "" in checkpoints that know none
  std::string environment;                       // program, backend, libraries, processor
};

/// The tensors of a checkpoint, in host memory.
struct CheckpointTensors {
  Parameters weights;
  Parameters exp_avg;
  Parameters exp_avg_sq;
};

/// A rank's part of the optimizer's state, flat as its shard says, in host memory.
struct Moments {
  Tensor exp_avg;
  Tensor exp_avg_sq;
  OptimizerShard shard;
};

struct CheckpointEntry {
  int64_t step = 0;
  std::filesystem::path path;
};

/// Writes `directory`/step-00000010, whole or not at all. Throws InputError (disk full, ...), leaving what was there.
/// Returns its path.
std::filesystem::path save_checkpoint(const std::filesystem::path& directory, const CheckpointState& state,
                                      const CheckpointTensors& tensors, const ModelConfig& model);

/// The same with the other ranks: rank 0 brings the weights (those of the others are not looked at), and the ranks'
/// `moments` together are all. If one of them cannot write its part, all throw InputError saying which, and what was
/// there before stays.
std::filesystem::path save_checkpoint(const std::filesystem::path& directory, const CheckpointState& state,
                                      const Parameters& weights, const Moments& moments, const ModelConfig& model,
                                      ProcessGroup& group);

/// Makes `checkpoint`, a checkpoint of weights alone, whole or not at all: for run.init_from, eval, generate and
/// export. `write` puts model.safetensors (Hugging Face's names; any weight type), and what else is to lie beside it,
/// into the folder that it is given. Throws InputError for a name that NewFolder refuses, and as `write` does.
void save_weights_checkpoint(const std::filesystem::path& checkpoint, const CheckpointState& state,
                             const std::function<void(const std::filesystem::path& folder)>& write);

/// The checkpoints in a folder of them, oldest first. Damage is not looked for.
std::vector<CheckpointEntry> list_checkpoints(const std::filesystem::path& directory);

/// The newest checkpoint, if `path` is a run's directory or its folder of checkpoints; `path` itself if it is a
/// checkpoint. Throws InputError if there is none.
std::filesystem::path find_checkpoint(const std::filesystem::path& path);

/// Reads state.json. Throws InputError if it is missing, damaged or of a version that this program does not know.
CheckpointState load_state(const std::filesystem::path& checkpoint);

/// How many ranks wrote the newest checkpoint of `directory` whose state can be read; 1 if there is none.
int ranks_of_newest(const std::filesystem::path& directory);

/// Reads every byte and compares with the checksums. Throws InputError saying which file is damaged. Of `parts` parties
/// each looks at other files.
void verify_checkpoint(const std::filesystem::path& checkpoint, int part = 0, int parts = 1);

/// The checkpoint's weights in its file, under Hugging Face's names, of any weight type (dtype.h).
SafetensorsFile open_weights(const std::filesystem::path& checkpoint);

/// Copies the checkpoint's weights. Throws InputError if a tensor is missing or has another shape.
void load_weights(const std::filesystem::path& checkpoint, const Parameters& weights, const ModelConfig& model);
/// Copies weights and moments. Throws InputError also if the checkpoint holds weights alone.
void load_tensors(const std::filesystem::path& checkpoint, const CheckpointTensors& tensors, const ModelConfig& model);

/// Copies the moments that are held.
void load_moments(const std::filesystem::path& checkpoint, const Moments& moments, const ModelConfig& model);

/// Removes all but the newest `keep` checkpoints; those at the end of a stage stay.
void prune_checkpoints(const std::filesystem::path& directory, int64_t keep);

/// Removes what a killed writer left in a folder of checkpoints.
void remove_partial_checkpoints(const std::filesystem::path& directory);

}  // namespace lighthouse
