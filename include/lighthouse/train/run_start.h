// How a run starts: afresh, from another run's checkpoint, or from its own newest one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>

#include "lighthouse/dist/process_group.h"
#include "lighthouse/train/checkpoint_writer.h"
#include "lighthouse/train/run_directory.h"
#include "lighthouse/train/run_reporter.h"
#include "lighthouse/train/run_state.h"

namespace lighthouse {

struct StartOptions {
  bool resume = false;                 // from the newest checkpoint, or afresh if there is none
  bool resume_whole = false;           // the same, but passes over damaged checkpoints
  std::optional<int64_t> resume_from;  // from the checkpoint of this step
  bool accept_changed_data = false;    // continue although the training data has changed
  std::filesystem::path config;        // the file that the config was read from; empty: none

  bool resumes() const { return resume || resume_whole || resume_from; }
};

class RunStart {
 public:
  /// `memory` must be laid out. All arguments must outlive the object.
  RunStart(const RunConfig& config, const RunProvenance& provenance, const RunDirectory& directory, ProcessGroup& group,
           RunMemory& memory, CheckpointWriter& writer, RunReporter& reporter);

  /// Sets weights and optimizer state, and sets aside what the directory holds of later steps. Reports what the user
  /// should know. All ranks call it together. Throws InputError, with the directory unchanged.
  RunPosition start(const StartOptions& options);

  /// The step of the checkpoint of this run's own directory that it started from; -1 if there is none.
  int64_t saved() const { return saved_; }

 private:
  /// The checkpoint to continue from, not verified; empty: none. On rank 0.
  std::filesystem::path choose(const StartOptions& options) const;
  std::filesystem::path checkpoint_of(int64_t step) const;
  /// Reads all of a checkpoint, each rank a part of its files. Throws InputError on all ranks if it is damaged.
  void verify(const std::filesystem::path& checkpoint) const;
  /// The newest checkpoint of this run, verified. With `whole` damaged ones are passed over; otherwise they are an
  /// InputError.
  std::filesystem::path verified_newest(bool whole);
  void warn_of_another_run(const std::filesystem::path& config);
  void warn_of_learning_rate(const RunConfig& before, int64_t steps);
  void start_afresh();
  /// Sets the weights of `checkpoint`, or random ones if it is empty.
  void set_first_weights(const std::filesystem::path& checkpoint);
  /// `checkpoint` is verified.
  RunPosition continue_from(const std::filesystem::path& checkpoint, bool accept_changed_data);
  void check_allowed(const RunConfig& before, const CheckpointState& state,
                     const std::filesystem::path& checkpoint) const;
  /// If a source that the run has drawn from has other data now: throws InputError, or warns with `accept`.
  void check_same_data(const CheckpointState& state, const std::filesystem::path& checkpoint, bool accept);
  void load(const std::filesystem::path& checkpoint, const CheckpointState& state);
  void note_environment(const CheckpointState& state);
  void note_tokenizer(const CheckpointState& state);
  void copy_metrics_of_branch(const std::filesystem::path& checkpoint, int64_t step) const;
  void set_aside_later_steps(int64_t step) const;
  bool is_own(const std::filesystem::path& checkpoint) const {
    return checkpoint.parent_path() == directory_.checkpoints();
  }

  const RunConfig& config_;
  const RunProvenance& provenance_;
  const RunDirectory& directory_;
  ProcessGroup& group_;
  RunMemory& memory_;
  CheckpointWriter& writer_;
  RunReporter& reporter_;
  int64_t saved_ = -1;
};

}  // namespace lighthouse
