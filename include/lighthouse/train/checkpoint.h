// A run's state on disk: a folder with model.safetensors, optimizer.safetensors and state.json that appears whole or
// not at all. In a run of several ranks each rank writes its shard of the optimizer's state to a file of its own,
// optimizer-00001-of-00004.safetensors; state.json lists the files. A checkpoint does not depend on the number of ranks
// that reads it.
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
#include "lighthouse/train/optimizer.h"

namespace lighthouse {

/// How many tokens a run has drawn from one source of its data (LoaderPosition).
struct SourceProgress {
  int64_t tokens = 0;
  int64_t mixed = 0;

  friend bool operator==(const SourceProgress&, const SourceProgress&) = default;
};

/// Everything in a checkpoint except tensors.
struct CheckpointState {
  int64_t step = 0;   // finished steps
  std::string stage;  // of the last finished step
  int64_t tokens = 0;
  double seconds = 0;
  int64_t optimizer_updates = 0;
  int64_t skipped_in_a_row = 0;
  bool end_of_stage = false;
  bool evaluation_pending = false;               // a signal stopped the run before the evaluation due at this step
  std::map<std::string, SourceProgress> loader;  // by the source's path
  std::map<std::string, DataFingerprint> data;   // of training and validation data, by pattern; empty if unknown
  int64_t seed = 0;                              // of the counter-based random numbers, which have no other state
  std::string config;                            // resolved, as YAML
  std::string tokenizer;                         // its digest; empty if unknown
  std::string environment;                       // program, backend, libraries, processor
};

struct CheckpointEntry {
  int64_t step = 0;
  std::filesystem::path path;
};

/// Writes `directory`/step-00000010, whole or not at all, and returns its path. All ranks of `group` call it together:
/// rank 0 writes `weights` (those of other ranks are ignored), and each rank writes its `optimizer_state`; together
/// these hold every element once. All tensors are in host memory. Throws InputError on all ranks, naming the rank, if a
/// file cannot be written (for example on a full disk) or the checkpoint exists already; what existed before stays.
std::filesystem::path save_checkpoint(const std::filesystem::path& directory, const CheckpointState& state,
                                      const Parameters& weights, const std::vector<StateTensor>& optimizer_state,
                                      const ModelConfig& model, ProcessGroup& group);

/// Writes `checkpoint`, whole or not at all, without optimizer state: for run.init_from, eval, generate and export.
/// `write` puts model.safetensors (Hugging Face's names, any weight type), and any other files, into the folder that it
/// receives. Throws InputError if NewFolder refuses the name, and what `write` throws.
void save_weights_checkpoint(const std::filesystem::path& checkpoint, const CheckpointState& state,
                             const std::function<void(const std::filesystem::path& folder)>& write);

/// Bytes that the tensors of a checkpoint take on disk, those of all ranks together.
int64_t checkpoint_bytes(const Optimizer& optimizer, const ModelConfig& model);

/// The checkpoints in a folder, oldest first, without a look into them.
std::vector<CheckpointEntry> list_checkpoints(const std::filesystem::path& directory);

/// The newest checkpoint if `path` is a run's directory or its folder of checkpoints; `path` itself if it is a
/// checkpoint. Throws InputError if there is none.
std::filesystem::path find_checkpoint(const std::filesystem::path& path);

/// Reads state.json. Throws InputError if it is missing, damaged or of an unknown version.
CheckpointState load_state(const std::filesystem::path& checkpoint);

/// The number of ranks that wrote the newest checkpoint in `directory` whose state.json is readable; 1 if there is
/// none.
int ranks_of_newest(const std::filesystem::path& directory);

/// Reads every file and compares its checksum. Throws InputError naming the damaged file. With `parts` callers, each
/// reads every `parts`-th file.
void verify_checkpoint(const std::filesystem::path& checkpoint, int part = 0, int parts = 1);

/// The file with the weights, under Hugging Face's names, of any weight type (dtype.h).
SafetensorsFile open_weights(const std::filesystem::path& checkpoint);

/// Reads the weights into host memory. Throws InputError if a tensor is missing or has another shape.
void load_weights(const std::filesystem::path& checkpoint, const Parameters& weights, const ModelConfig& model);
/// Reads the elements that the shards of `tensors` hold, into host memory. Throws InputError if the checkpoint has no
/// optimizer state, or if some of it is missing, present twice or of another shape.
void load_optimizer_state(const std::filesystem::path& checkpoint, const std::vector<StateTensor>& tensors,
                          const ModelConfig& model);

/// Removes all but the newest `keep` checkpoints. Those at the end of a stage and those that cannot be read stay.
void prune_checkpoints(const std::filesystem::path& directory, int64_t keep);

/// Removes unfinished checkpoints that a killed process left in a folder of checkpoints.
void remove_partial_checkpoints(const std::filesystem::path& directory);

}  // namespace lighthouse
