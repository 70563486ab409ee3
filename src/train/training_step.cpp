#include "lighthouse/train/training_step.h"

#include <stdexcept>

namespace lighthouse {

TrainingStep::TrainingStep(RunMemory& memory, BatchFeed& feed, Backend& backend)
    : memory_(memory), feed_(feed), backend_(backend), stream_(backend.compute_stream()) {
  constexpr int64_t kReports = kInFlight;
  pinned_ = Arena(backend.allocate_host(Arena::kAlignment * kReports));
  reports_ = pinned_.allocate(MemoryUse::kBatch, {kReports, kStepScalars}, DType::kFloat64);
}

void TrainingStep::begin(Pass& pass, const BatchSection& batch, const WindowSource& source, double learning_rate) {
  if (begun_.size() == kInFlight) throw std::logic_error("a step was begun with too many unfinished");
  AdamW& optimizer = memory_.optimizer();
  backend_.fill(stream_, memory_.gradients().flat, 0);
  backend_.fill(stream_, optimizer.step_scalar(kLoss), 0);
  std::vector<int32_t> windows(static_cast<size_t>(batch.micro_batch_size * (batch.sequence_length + 1)));
  for (int64_t i = 0; i < batch.micro_batches(); ++i) {
    source(windows);
    feed_.feed(stream_, pass.inputs, pass.targets, windows);
    micro_batch(pass, 1.0 / static_cast<double>(batch.tokens_per_step()));
  }
  if (gradient_hook_) gradient_hook_(memory_.gradients());
  backend_.l2_norm(stream_, optimizer.step_scalar(kGradientNorm), memory_.reduction_scratch(),
                   memory_.gradients().flat);
  backend_.wait(stream_, update_gate_);
  update_gate_ = {};
  optimizer.step(stream_, memory_.master_weights(), memory_.weights(), memory_.gradients(), learning_rate);

  const Tensor report = reports_.select(0, static_cast<int64_t>(next_report_));
  next_report_ = (next_report_ + 1) % kInFlight;
  backend_.copy(stream_, report, optimizer.step_scalars());
  begun_.push_back({report, backend_.record(stream_)});
}

StepResult TrainingStep::finish() {
  const Report report = begun_.front();
  begun_.pop_front();
  backend_.wait(report.written);
  const double* scalars = report.scalars.data<double>();
  return {scalars[kLoss], scalars[kGradientNorm], scalars[kSkipped] != 0};
}

void TrainingStep::micro_batch(Pass& pass, double loss_scale) {
  Pass::Recording& recording = pass.recording;
  if (recording.loss_scale != loss_scale) recording = {loss_scale, 0, nullptr};
  // The first time runs as it is: libraries choose their algorithms then, which cannot be recorded.
  if (recording.runs++ == 1) recording.graph = backend_.capture(stream_, [&] { compute(pass, loss_scale); });
  if (recording.graph) return recording.graph->launch(stream_);
  compute(pass, loss_scale);
}

void TrainingStep::compute(Pass& pass, double loss_scale) {
  Llama& model = *pass.model;
  model.forward(stream_, memory_.weights(), pass.inputs);
  model.loss_backward(stream_, memory_.weights(), memory_.gradients(), pass.targets, loss_scale);
  backend_.add_sum(stream_, memory_.optimizer().step_scalar(kLoss), memory_.reduction_scratch(), model.losses(),
                   loss_scale);
  model.backward(stream_, memory_.weights(), memory_.gradients(), pass.inputs);
}

}  // namespace lighthouse
