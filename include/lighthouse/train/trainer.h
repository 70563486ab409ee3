// A whole run: stages, steps, evaluation, checkpoints, resuming.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/core/error.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/dist/ranks.h"
#include "lighthouse/train/metrics.h"
#include "lighthouse/train/run_start.h"
#include "lighthouse/train/training_step.h"

namespace lighthouse {

/// What a run tells whoever watches it.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void started(int64_t /*first_step*/, int64_t /*total_steps*/) {}
  virtual void step_finished(const StepMetrics&) {}
  virtual void validated(const ValidationMetrics&) {}
  /// A sentence for the log: a stage begins, a checkpoint was written.
  virtual void note(const std::string&) {}
  /// The same, but somebody should look.
  virtual void warn(const std::string&) {}
};

class Trainer {
 public:
  /// Checks everything that can be checked before the first step: memory, disk, data, the checkpoint to start from.
  /// Throws InputError. A run that is refused has changed nothing in its directory but for making it.
  Trainer(const RunConfig& config, const StartOptions& start, Backend& backend, TrainingObserver& observer,
          const Ranks& ranks = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Trains to the end. SIGINT, SIGTERM and SIGHUP: the step in progress is dropped, the last finished one saved,
  /// Interrupted thrown; of several ranks all finish the step in which the first of them counts the signal. Data that
  /// cannot be used, on whichever rank: the last finished step is saved, InputError thrown. Throws RunError after
  /// train.max_skipped_steps skipped steps in a row, PeerError when another rank is gone.
  void run();

  void set_gradient_hook(TrainingStep::GradientHook hook) { step_.set_gradient_hook(std::move(hook)); }
  const Parameters& weights() const { return memory_.master_weights(); }

 private:
  void allocate_memory();
  void report_data_use();
  void install_stop_handlers();
  /// All steps that are left.
  void run_steps();
  void enter_stage(int64_t stage);
  void open_data(bool stage_begins);
  /// Gives the device the next step.
  void begin_step();
  /// Waits for the oldest step that it was given, and records it.
  void finish_step();
  void finish_steps();
  void record(const StepResult& result, double elapsed);
  /// Throws RunError if it was one too many.
  void report_skipped_step(const StepResult& result);
  /// Whether something is to be done after a step (counted from 1) that needs the weights as it leaves them.
  bool pauses_after(int64_t step) const;
  bool due(int64_t step, int64_t every) const;
  void after_step();
  void validate();
  double validation_loss_in(AttentionKind kind);
  bool at_end_of_stage(int64_t step) const;
  CheckpointState state() const;
  void save();
  /// Tells of the checkpoint that is being written, if it is done; with `wait`, when it is.
  void finish_save(bool wait);
  void finish_save_or_warn(bool wait);
  void warn_save_failed(const InputError& error);
  void save_finished_steps();
  /// For the log: by one of the ranks.
  void note(const std::string& text);
  void warn(const std::string& text);
  bool is_rank0() const { return ranks_.is_rank0(); }
  ProcessGroup& group() const { return *ranks_.group; }

  const StageSection& stage() const { return config_.stages[static_cast<size_t>(stage_)]; }

  using Clock = std::chrono::steady_clock;
  /// A step that the device was given.
  struct BegunStep {
    AttentionKind attention;
    double learning_rate;
    LoaderPosition position;  // after it
    Clock::time_point begin;
  };
  StepMetrics metrics_of(const BegunStep& step, const StepResult& result, double elapsed) const;

  RunConfig config_;
  Backend& backend_;
  TrainingObserver& observer_;
  Ranks ranks_;
  RunMemory memory_;
  std::unique_ptr<DataParallel> parallel_;
  Arena arena_;
  BatchFeed feed_;
  TrainingStep step_;
  RunDirectory directory_;
  std::unique_ptr<CheckpointWriter> writer_;
  MetricsLog metrics_;
  std::map<std::string, DataFingerprint> data_;  // by pattern
  std::string tokenizer_;                        // its digest
  std::string environment_;
  double peak_flops_;  // of all ranks; 0: not known
  StopSignal stop_;
  std::vector<std::string> opening_notes_, opening_warnings_;

  RunPosition at_;
  std::deque<BegunStep> begun_;
  Clock::time_point last_finish_;
  bool stop_agreed_ = false;  // of several ranks
  bool abandoned_ = false;    // one of them had no data for a step
  int64_t saved_ = -1;        // the step of the newest checkpoint
  int64_t saving_ = -1;       // the step of the one that was begun last

  int64_t stage_ = -1;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<WindowedSource> validation_;
};

}  // namespace lighthouse
