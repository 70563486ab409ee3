// The checkpoints of a run while it trains: saved, reported, pruned.
#pragma once

#include <cstdint>

#include "lighthouse/core/error.h"
#include "lighthouse/train/checkpoint_writer.h"
#include "lighthouse/train/run_directory.h"
#include "lighthouse/train/run_reporter.h"
#include "lighthouse/train/run_state.h"
#include "lighthouse/train/training_step.h"

namespace lighthouse {

/// Saves a run's checkpoints beside training. All calls come from the thread that runs the steps, and in a run of
/// several ranks from all ranks at the same steps.
class RunCheckpoints {
 public:
  /// `memory` must be laid out; `provenance` may be set later, before the first save. All arguments must outlive the
  /// object. Throws InputError if there is no pinned memory.
  RunCheckpoints(const RunConfig& config, const RunProvenance& provenance, const RunDirectory& directory,
                 Backend& backend, RunMemory& memory, TrainingStep& step, DataParallel* parallel, ProcessGroup& group,
                 RunReporter& reporter);

  /// For what fills weights and optimizer state at the start.
  CheckpointWriter& writer() { return writer_; }
  /// Records that the run's folder contains the checkpoint of `step`; -1: of none.
  void set_saved(int64_t step) { saved_ = step; }

  /// Starts to save the run as it is after position.steps steps, unless that checkpoint exists. No step may be in
  /// flight. The next step does not overwrite what is being copied. Throws InputError if the metrics up to here cannot
  /// be written, or if the checkpoint has already failed.
  void save(const RunPosition& position);
  /// The same, but a failure is a warning and training continues.
  void save_or_warn(const RunPosition& position);
  /// Reports a checkpoint that has been written since the last call and prunes older ones; does not wait. A failure is
  /// a warning.
  void poll() { report_or_warn(false); }
  /// Waits until the checkpoint being written is on disk. Throws InputError if it could not be written.
  void finish() { report(true); }
  void warn_failed(const InputError& error);

 private:
  void report(bool wait);
  void report_or_warn(bool wait);

  const RunConfig& config_;
  const RunProvenance& provenance_;
  const RunDirectory& directory_;
  RunMemory& memory_;
  TrainingStep& step_;
  ProcessGroup& group_;
  RunReporter& reporter_;
  CheckpointWriter writer_;
  int64_t saved_ = -1;   // the step of the newest checkpoint, on disk or being written
  int64_t saving_ = -1;  // the step of the last one that was begun
};

}  // namespace lighthouse
