// How a run starts: afresh, from another run's checkpoint, or where it was stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/dist/process_group.h"
#include "lighthouse/train/checkpoint_writer.h"
#include "lighthouse/train/run_directory.h"

namespace lighthouse {

struct StartOptions {
  bool resume = false;                 // from the newest checkpoint, or afresh if there is none
  bool resume_whole = false;           // the same, but passes over checkpoints that are damaged
  std::optional<int64_t> resume_from;  // from the checkpoint of this step
  bool accept_changed_data = false;    // continue though the training data is not what it was
  std::filesystem::path config;        // the file that the config was read from; empty: none

  bool resumes() const { return resume || resume_whole || resume_from; }
};

/// How far a run has come.
struct RunPosition {
  int64_t steps = 0;  // finished
  int64_t tokens = 0;
  double seconds = 0;  // of training
  int64_t skipped_in_a_row = 0;
  bool evaluation_pending = false;                // the one that is due at this step
  std::map<std::string, SourceProgress> sources;  // by their paths
};

class RunStart {
 public:
  /// `data` and `environment` are what this program would write into a checkpoint (CheckpointState). All must outlive
  /// it.
  RunStart(const RunConfig& config, const RunDirectory& directory, ProcessGroup& group, RunMemory& memory,
           CheckpointWriter& writer, const std::map<std::string, DataFingerprint>& data, std::string environment);

  /// Sets weights and the optimizer's state, and takes the directory over: what it holds of later steps is set aside.
  /// All ranks together. Throws InputError, with the directory as it was.
  RunPosition start(const StartOptions& options);

  /// The step of the checkpoint of this very run that it started from; -1: there is none.
  int64_t saved() const { return saved_; }
  /// What a user should know of it, in sentences.
  const std::vector<std::string>& notes() const { return notes_; }
  /// The same, of what somebody should look at.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  /// The checkpoint to continue from, not verified; empty: none. By rank 0.
  std::filesystem::path choose(const StartOptions& options) const;
  std::filesystem::path checkpoint_of(int64_t step) const;
  /// Reads a checkpoint whole, each rank a part of its files. Throws InputError on all ranks if it is damaged.
  void verify(const std::filesystem::path& checkpoint) const;
  /// The newest checkpoint of this run, verified; with `whole`, the newest that is not damaged.
  std::filesystem::path verified_newest(bool whole);
  void warn_of_another_run(const std::filesystem::path& config);
  void warn_of_learning_rate(const RunConfig& before, int64_t steps);
  void start_afresh();
  /// Those of a checkpoint, or if that is empty, random ones.
  void set_first_weights(const std::filesystem::path& checkpoint);
  /// The checkpoint's bytes have been verified before.
  RunPosition continue_from(const std::filesystem::path& checkpoint, bool accept_changed_data);
  void check_allowed(const RunConfig& before, const CheckpointState& state,
                     const std::filesystem::path& checkpoint) const;
  /// Throws InputError if a source that was drawn from has other data now, or warns if that is accepted.
  void check_same_data(const CheckpointState& state, const std::filesystem::path& checkpoint, bool accept);
  void load(const std::filesystem::path& checkpoint, const CheckpointState& state);
  void note_environment(const CheckpointState& state);
  void note_tokenizer(const CheckpointState& state);
  void take_over_branch(const std::filesystem::path& checkpoint, int64_t step) const;
  void take_over_run(int64_t step) const;
  bool is_own(const std::filesystem::path& checkpoint) const {
    return checkpoint.parent_path() == directory_.checkpoints();
  }

  const RunConfig& config_;
  const RunDirectory& directory_;
  ProcessGroup& group_;
  RunMemory& memory_;
  CheckpointWriter& writer_;
  const std::map<std::string, DataFingerprint>& data_;
  std::string environment_;
  int64_t saved_ = -1;
  std::vector<std::string> notes_, warnings_;
};

}  // namespace lighthouse
