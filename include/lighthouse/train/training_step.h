// One step of training, from a batch of tokens to updated weights, in one place.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <span>

#include "lighthouse/data/batch.h"
#include "lighthouse/train/data_parallel.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

struct StepResult {
  double loss = 0;           // mean over the step's tokens, nats
  double gradient_norm = 0;  // before clipping
  bool skipped = false;      // loss or norm was not finite: the weights are as before
  bool stop = false;         // a rank wants to stop after this step
  bool abandoned = false;    // a rank had no data for it: the weights are as before, and it does not count
};

/// Adds one micro-batch's gradients and, times `loss_scale`, its losses: forward, loss, backward, for pass.inputs and
/// pass.targets.
void add_gradients(const Stream& stream, Backend& backend, RunMemory& memory, Pass& pass, double loss_scale);

/// The gradient's norm; if it and the loss are finite, clipping and AdamW.
void update_weights(const Stream& stream, Backend& backend, RunMemory& memory, double learning_rate);

/// zero the gradients
/// for each micro-batch: forward, loss, backward    (gradients add up; over ranks during the last backward)
/// norm of the gradient; if it is not finite, stop here
/// clip, AdamW
///
/// A step is begun and, later, finished: what it came to is read back while the device works on the next one.
class TrainingStep {
 public:
  /// Called between backward and the norm, for what has to happen to gradients then.
  using GradientHook = std::function<void(const Parameters& gradients)>;
  /// Writes the next micro-batch: windows of N+1 tokens.
  using WindowSource = std::function<void(std::span<int32_t> windows)>;
  /// Whether this rank wants the run to stop after a step; asked when the step's gradients have been given to the
  /// device.
  using StopRequest = std::function<bool()>;

  /// Steps that can be begun before the first of them is finished.
  static constexpr size_t kInFlight = 2;

  /// All must outlive it. `parallel`: the ranks of the run, if there are several.
  TrainingStep(RunMemory& memory, BatchFeed& feed, Backend& backend, DataParallel* parallel = nullptr);

  void set_gradient_hook(GradientHook hook) { gradient_hook_ = std::move(hook); }
  void set_stop_request(StopRequest vote) { stop_request_ = std::move(vote); }

  /// Gives the device a step in the pass of its stage and attention: this rank's micro-batches of it (share_of). If a
  /// layer hook of the pass or `windows` throws, weights and optimizer are as before the step. Of several ranks, one
  /// for which `windows` throws InputError goes on to the step's sums, where the others wait, and all give up this step
  /// and those after it; check_source() then throws what was thrown.
  void begin(Pass& pass, const BatchSection& batch, const WindowSource& windows, double learning_rate);
  /// Waits for the oldest step that was begun and not finished. Throws RunError if the device failed.
  StepResult finish();
  void check_source() const;
  size_t in_flight() const { return begun_.size(); }

  /// The weights are not updated before `event`: a copy of them is under way.
  void delay_update_until(const Event& event) { update_gate_ = event; }
  /// The gradients neither.
  void delay_gradients_until(const Event& event) { gradient_gate_ = event; }

 private:
  struct Report {
    Tensor scalars;  // float64 [kStepScalars], pinned
    Event written;
  };

  /// Adds up the gradients of this rank's micro-batches.
  void accumulate_gradients(Pass& pass, const BatchSection& batch, const WindowSource& source);
  /// Whether there were windows.
  bool read(const WindowSource& source, std::span<int32_t> windows);
  void micro_batch(Pass& pass, double loss_scale);
  void reduce_over_ranks(Pass& pass);
  void update(double learning_rate);

  RunMemory& memory_;
  BatchFeed& feed_;
  Backend& backend_;
  DataParallel* parallel_;
  Stream stream_;
  GradientHook gradient_hook_;
  StopRequest stop_request_;
  std::exception_ptr failure_;  // of the source of windows
  Event update_gate_, gradient_gate_;
  Arena pinned_;
  Tensor reports_;  // float64 [kInFlight, kStepScalars], pinned
  size_t next_report_ = 0;
  std::deque<Report> begun_;
};

}  // namespace lighthouse
