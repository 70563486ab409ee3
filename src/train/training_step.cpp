#include "lighthouse/train/training_step.h"

#include <cmath>
#include <numeric>

#include "lighthouse/data/batch.h"

namespace lighthouse {

TrainingStep::TrainingStep(const RunConfig& config, RunMemory& memory, Backend& backend)
    : settings_(config.optimizer), memory_(memory), backend_(backend) {}

StepResult TrainingStep::run(Pass& pass, const BatchSection& batch, Loader& loader, double learning_rate) {
  backend_.fill(stream_, memory_.gradients().flat, 0);
  StepResult result;
  std::vector<int32_t> windows(static_cast<size_t>(batch.micro_batch_size * (batch.sequence_length + 1)));
  for (int64_t i = 0; i < batch.micro_batches(); ++i) {
    loader.next(batch.micro_batch_size, 0, batch.micro_batch_size, windows);
    split_windows(windows, pass.inputs, pass.targets);
    result.loss += micro_batch(pass, 1.0 / static_cast<double>(batch.tokens_per_step()));
  }
  if (gradient_hook_) gradient_hook_(memory_.gradients());
  backend_.l2_norm(stream_, memory_.gradient_norm(), memory_.norm_scratch(), memory_.gradients().flat);
  result.gradient_norm = *memory_.gradient_norm().data<double>();

  result.skipped = !std::isfinite(result.loss) || !std::isfinite(result.gradient_norm);
  if (result.skipped) return result;
  const bool clip = settings_.clip_grad_norm > 0 && result.gradient_norm > settings_.clip_grad_norm;
  const double scale = clip ? settings_.clip_grad_norm / result.gradient_norm : 1;
  memory_.optimizer().step(stream_, memory_.weights(), memory_.gradients(), learning_rate, scale);
  return result;
}

double TrainingStep::micro_batch(Pass& pass, double loss_scale) {
  Llama& model = *pass.model;
  model.forward(stream_, memory_.weights(), pass.inputs);
  model.loss_backward(stream_, memory_.weights(), memory_.gradients(), pass.targets, loss_scale);
  model.backward(stream_, memory_.weights(), memory_.gradients(), pass.inputs);
  const float* losses = model.losses().data<float>();
  return std::accumulate(losses, losses + model.losses().numel(), 0.0) * loss_scale;
}

}  // namespace lighthouse
