// One step of training, from a batch of tokens to updated weights.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <span>
#include <vector>

#include "lighthouse/data/batch.h"
#include "lighthouse/train/data_parallel.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

struct StepResult {
  double loss = 0;           // mean over the step's tokens, nats
  double gradient_norm = 0;  // before clipping
  bool skipped = false;      // loss or norm was not finite; the weights are unchanged
  bool stop = false;         // a rank asks the run to stop after this step
  bool abandoned = false;    // a rank had no data for the step: the weights are unchanged, and it does not count
};

/// Forward, loss and backward of one micro-batch, pass.inputs and pass.targets. Adds to the gradients and, times
/// `loss_scale`, to the step's loss.
void add_gradients(const Stream& stream, Backend& backend, RunMemory& memory, Pass& pass, double loss_scale);

/// The gradient's norm and the optimizer's step.
void update_weights(const Stream& stream, Backend& backend, RunMemory& memory, double learning_rate);

/// A step:
///
///   zero the gradients
///   for each micro-batch: forward, loss, backward    (gradients add up)
///   reduce gradients and loss over the ranks         (bucket by bucket, during the last backward pass)
///   norm of the gradient; if it or the loss is not finite, skip the rest
///   clip the gradient, update the weights
///
/// begin() enqueues a step on the compute stream; finish() waits for it and returns its result. Up to kInFlight steps
/// can be begun, so that the device need not wait for the host. All calls come from one thread.
class TrainingStep {
 public:
  /// Called with the summed gradients of this rank's micro-batches, before they are reduced over the ranks. While it
  /// is set, the reduction does not overlap the backward pass.
  using GradientHook = std::function<void(const Parameters& gradients)>;
  /// Writes the next micro-batch: windows of N+1 tokens.
  using WindowSource = std::function<void(std::span<int32_t> windows)>;
  /// Whether this rank wants the run to stop after a step. Called once a step, when the gradients are enqueued.
  using StopRequest = std::function<bool()>;

  static constexpr size_t kInFlight = 2;

  /// `parallel`: null in a run of one rank. All arguments must outlive the object. Throws InputError if there is no
  /// pinned memory.
  TrainingStep(RunMemory& memory, BatchFeed& feed, Backend& backend, DataParallel* parallel = nullptr);

  void set_gradient_hook(GradientHook hook) { gradient_hook_ = std::move(hook); }
  void set_stop_request(StopRequest request) { stop_request_ = std::move(request); }

  /// Enqueues a step: this rank's share (split_evenly) of the micro-batches, each from `source`, in `pass`. With one
  /// rank, an exception from `source` or from a layer hook of the pass leaves weights and optimizer as before the step.
  /// With several, an InputError from `source` is kept for check_source(): the rank still takes part in the reduction,
  /// where the others wait, and all ranks abandon this step and those after it.
  void begin(Pass& pass, const BatchSection& batch, const WindowSource& source, double learning_rate);
  /// Waits for the oldest unfinished step. Throws RunError if the device failed, PeerError if another rank exited.
  StepResult finish();
  /// Throws what `source` threw on this rank, if it did.
  void check_source() const;
  /// Steps begun and not finished.
  size_t in_flight() const { return begun_.size(); }

  /// The next step does not update weights and optimizer state before `event`.
  void delay_update_until(const Event& event) { update_gate_ = event; }
  /// The next step does not change gradients before `event`.
  void delay_gradients_until(const Event& event) { gradient_gate_ = event; }

 private:
  /// What the device reports of a step.
  struct Report {
    Tensor scalars;  // float64 [kStepScalars], pinned
    Event written;
  };

  void zero_gradients();
  /// Runs this rank's micro-batches.
  void accumulate_gradients(Pass& pass, const BatchSection& batch, const WindowSource& source);
  /// Returns false if `source` failed, now or before.
  bool read(const WindowSource& source, std::span<int32_t> windows);
  // The three ways to run a micro-batch.
  void run_eager(Pass& pass, double loss_scale);
  /// Launches the micro-batch as a graph. Returns false, having enqueued nothing, if there is none.
  bool run_recorded(Pass& pass, double loss_scale);
  /// Reduces each bucket of gradients as soon as the backward pass has completed it.
  void run_with_communication(Pass& pass, double loss_scale);
  /// Reduces loss, stop requests and the gradients that are not reduced yet.
  void reduce_over_ranks(Pass& pass);
  void update(double learning_rate);
  void enqueue_report();

  RunMemory& memory_;
  BatchFeed& feed_;
  Backend& backend_;
  DataParallel* parallel_;
  Stream stream_;
  GradientHook gradient_hook_;
  StopRequest stop_request_;
  std::exception_ptr source_failure_;
  Event update_gate_, gradient_gate_;
  Arena pinned_;
  std::vector<int32_t> windows_;
  Tensor reports_;  // float64 [kInFlight, kStepScalars], pinned
  size_t next_report_ = 0;
  std::deque<Report> begun_;
};

}  // namespace lighthouse
