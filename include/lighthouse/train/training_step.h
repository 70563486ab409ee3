// One step of training, from a batch of tokens to updated weights, in one place.
#pragma once

#include <cstdint>
#include <functional>

#include "lighthouse/data/loader.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

struct StepResult {
  double loss = 0;           // mean over the step's tokens, nats
  double gradient_norm = 0;  // before clipping
  bool skipped = false;      // loss or norm was not finite: the weights are as before
};

/// zero the gradients
/// for each micro-batch: forward, loss, backward    (gradients add up)
/// norm of the gradient; if it is not finite, stop here
/// clip, AdamW
class TrainingStep {
 public:
  /// Called between backward and the norm, for what has to happen to gradients then.
  using GradientHook = std::function<void(const Parameters& gradients)>;

  TrainingStep(const RunConfig& config, RunMemory& memory, Backend& backend);

  void set_gradient_hook(GradientHook hook) { gradient_hook_ = std::move(hook); }

  /// Draws the step's sequences from `loader` and runs it in the pass of its stage and attention. If a layer hook of
  /// the pass throws, weights and optimizer are as before the step; the loader has moved on.
  StepResult run(Pass& pass, const BatchSection& batch, Loader& loader, double learning_rate);

 private:
  /// Mean loss of one micro-batch times its share of the step.
  double micro_batch(Pass& pass, double loss_scale);

  OptimizerSection settings_;
  RunMemory& memory_;
  Backend& backend_;
  Stream stream_;
  GradientHook gradient_hook_;
};

}  // namespace lighthouse
