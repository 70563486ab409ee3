// A whole run: stages, steps, evaluation, checkpoints, resuming.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "lighthouse/core/stop_signal.h"
#include "lighthouse/dist/ranks.h"
#include "lighthouse/train/run_checkpoints.h"
#include "lighthouse/train/run_start.h"
#include "lighthouse/train/training_data.h"
#include "lighthouse/train/training_step.h"
#include "lighthouse/train/validator.h"

namespace lighthouse {

/// Trains a model as a config says. One object is one run of one rank; all calls come from one thread.
class Trainer {
 public:
  /// Checks everything that can be checked before the first step (memory, disk, data, the checkpoint to start from) and
  /// loads or initialises the weights. All ranks construct it together. `backend` and `observer` must outlive it.
  /// Throws InputError; the run's directory, once created, is then otherwise unchanged.
  Trainer(const RunConfig& config, const StartOptions& start, Backend& backend, TrainingObserver& observer,
          const Ranks& ranks = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Trains to the end of the last stage. Stops earlier, with the last finished step saved, and throws
  /// - Interrupted after SIGINT, SIGTERM, SIGHUP or SIGUSR1. A single rank drops the step in progress; several ranks
  ///   finish the step in which a rank first reports the signal.
  /// - InputError for data that cannot be used. In a run of several ranks it may come without a checkpoint if only this
  ///   rank fails.
  /// Throws RunError, without saving, after train.max_skipped_steps consecutive skipped steps, and PeerError when
  /// another rank has exited.
  void run();

  void set_gradient_hook(TrainingStep::GradientHook hook) { step_.set_gradient_hook(std::move(hook)); }
  const Parameters& weights() const { return memory_.master_weights(); }

 private:
  using Clock = std::chrono::steady_clock;
  /// A step that is enqueued on the device.
  struct PendingStep {
    AttentionKind attention;
    double learning_rate;
    std::map<std::string, SourceProgress> progress;  // of the training data, after the step
    Clock::time_point begin;
  };

  void allocate_memory();
  void install_stop_handlers();
  /// Sets weights, optimizer state and position_, and makes the directory ready for writing.
  void start(const StartOptions& options);
  void run_steps();
  void enter_stage(int64_t stage);
  /// Enqueues the next step.
  void begin_step();
  /// Waits for the oldest pending step and records it.
  void finish_step();
  void finish_steps();
  void record(const PendingStep& step, const StepResult& result, double seconds);
  StepMetrics metrics_of(const PendingStep& step, const StepResult& result, double seconds) const;
  /// Throws RunError after train.max_skipped_steps consecutive skips.
  void report_skipped_step(const StepResult& result);
  /// Whether the host needs the weights as they are after this many steps, so that no further step may be enqueued.
  bool needs_weights_after(int64_t steps) const;
  /// Evaluation and checkpoint, if they are due.
  void after_step();
  void validate();
  /// Throws why the ranks stop: InputError on all of them if one had no data, Interrupted otherwise.
  [[noreturn]] void stop_together();
  void save_finished_steps();
  const StageSection& stage() const { return config_.stages[static_cast<size_t>(stage_)]; }

  RunConfig config_;
  Backend& backend_;
  Ranks ranks_;
  RunMemory memory_;
  std::unique_ptr<DataParallel> parallel_;  // null: one rank
  Arena arena_;
  BatchFeed feed_;
  TrainingStep step_;
  RunDirectory directory_;
  RunReporter reporter_;
  RunProvenance provenance_;
  TrainingData data_;
  Validator validator_;
  std::unique_ptr<RunCheckpoints> checkpoints_;
  StopSignal stop_;
  double peak_flops_;  // of all ranks; 0: unknown

  RunPosition position_;
  int64_t stage_ = -1;
  std::deque<PendingStep> pending_;
  Clock::time_point last_finish_;
  bool stopping_ = false;   // a rank asked for it; known to all
  bool abandoned_ = false;  // a rank had no data for a step
};

}  // namespace lighthouse
