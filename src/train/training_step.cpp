#include "lighthouse/train/training_step.h"

#include <stdexcept>

namespace lighthouse {

void add_gradients(const Stream& stream, Backend& backend, RunMemory& memory, Pass& pass, double loss_scale) {
  Llama& model = *pass.model;
  model.forward(stream, memory.weights(), pass.inputs);
  model.loss_backward(stream, memory.weights(), memory.gradients(), pass.targets, loss_scale);
  backend.add_sum(stream, memory.optimizer().step_scalar(kLoss), memory.reduction_scratch(), model.losses(),
                  loss_scale);
  model.backward(stream, memory.weights(), memory.gradients(), pass.inputs);
}

void update_weights(const Stream& stream, Backend& backend, RunMemory& memory, double learning_rate) {
  AdamW& optimizer = memory.optimizer();
  backend.l2_norm(stream, optimizer.step_scalar(kGradientNorm), memory.reduction_scratch(), memory.gradients().flat);
  optimizer.step(stream, memory.master_weights(), memory.weights(), memory.gradients(), learning_rate);
}

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
  backend_.wait(stream_, update_gate_);
  update_gate_ = {};
  update_weights(stream_, backend_, memory_, learning_rate);

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
  const auto run = [&] { add_gradients(stream_, backend_, memory_, pass, loss_scale); };
  // The first time runs as it is: libraries choose their algorithms then, which cannot be recorded.
  if (recording.runs++ == 1) recording.graph = backend_.capture(stream_, run);
  if (recording.graph) return recording.graph->launch(stream_);
  run();
}

}  // namespace lighthouse
