#include "lighthouse/train/training_step.h"

#include <limits>
#include <stdexcept>

#include "lighthouse/core/error.h"
#include "lighthouse/dist/partition.h"

namespace lighthouse {
namespace {

constexpr double kAbandoned = 1 << 24;  // the vote of a rank that gives a step up: more than all ranks' votes to stop

}  // namespace

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

TrainingStep::TrainingStep(RunMemory& memory, BatchFeed& feed, Backend& backend, DataParallel* parallel)
    : memory_(memory), feed_(feed), backend_(backend), parallel_(parallel), stream_(backend.compute_stream()) {
  constexpr int64_t kReports = kInFlight;
  pinned_ = Arena(backend.allocate_host(Arena::kAlignment * kReports));
  reports_ = pinned_.allocate(MemoryUse::kBatch, {kReports, kStepScalars}, DType::kFloat64);
}

void TrainingStep::begin(Pass& pass, const BatchSection& batch, const WindowSource& source, double learning_rate) {
  if (begun_.size() == kInFlight) throw std::logic_error("a step was begun with too many unfinished");
  AdamW& optimizer = memory_.optimizer();
  backend_.wait(stream_, gradient_gate_);
  gradient_gate_ = {};
  // Documents are counted by waiting for the device. What it may wait for are other ranks, and only the communicator
  // notices if they are gone.
  if (parallel_ != nullptr && pass.settings.document_end && !begun_.empty()) {
    parallel_->communicator().wait(begun_.back().written);
  }
  backend_.fill(stream_, memory_.gradients().flat, 0);
  backend_.fill(stream_, optimizer.step_scalar(kLoss), 0);
  accumulate_gradients(pass, batch, source);
  if (gradient_hook_) gradient_hook_(memory_.gradients());
  if (parallel_ != nullptr) reduce_over_ranks(pass);
  update(learning_rate);

  const Tensor report = reports_.select(0, static_cast<int64_t>(next_report_));
  next_report_ = (next_report_ + 1) % kInFlight;
  backend_.copy(stream_, report, optimizer.step_scalars());
  begun_.push_back({report, backend_.record(stream_)});
}

void TrainingStep::accumulate_gradients(Pass& pass, const BatchSection& batch, const WindowSource& source) {
  std::vector<int32_t> windows(static_cast<size_t>(batch.micro_batch_size * (batch.sequence_length + 1)));
  const double loss_scale = 1.0 / static_cast<double>(batch.tokens_per_step());
  const Mesh& mesh = memory_.mesh();
  const IndexRange share = split_evenly(batch.micro_batches(), mesh.data_size(), mesh.data_rank());
  for (int64_t i = share.begin; i < share.end; ++i) {
    if (!read(source, windows)) return;
    feed_.feed(stream_, pass.inputs, pass.targets, windows);
    if (parallel_ != nullptr && !gradient_hook_ && i + 1 == share.end) {
      // Not recorded: what goes to other ranks meanwhile is given to another stream, and some of it by the host.
      parallel_->watch(stream_, pass);
      add_gradients(stream_, backend_, memory_, pass, loss_scale);
    } else {
      micro_batch(pass, loss_scale);
    }
  }
}

bool TrainingStep::read(const WindowSource& source, std::span<int32_t> windows) {
  if (failure_) return false;
  if (parallel_ == nullptr) {
    source(windows);
    return true;
  }
  try {
    source(windows);
  } catch (const InputError&) {
    failure_ = std::current_exception();
  }
  return !failure_;
}

void TrainingStep::check_source() const {
  if (failure_) std::rethrow_exception(failure_);
}

StepResult TrainingStep::finish() {
  const Report report = begun_.front();
  begun_.pop_front();
  parallel_ != nullptr ? parallel_->communicator().wait(report.written) : backend_.wait(report.written);
  const double* scalars = report.scalars.data<double>();
  return {scalars[kLoss], scalars[kGradientNorm], scalars[kSkipped] != 0, scalars[kStopRequests] > 0,
          scalars[kStopRequests] >= kAbandoned};
}

void TrainingStep::reduce_over_ranks(Pass& pass) {
  if (gradient_hook_ || failure_) parallel_->watch(stream_, pass);
  const bool stop = stop_request_ && stop_request_();
  backend_.fill(stream_, memory_.optimizer().step_scalar(kStopRequests), failure_ ? kAbandoned : stop ? 1 : 0);
  // The others' gradients lack this rank's: no update may be made of them.
  if (failure_) {
    backend_.fill(stream_, memory_.optimizer().step_scalar(kLoss), std::numeric_limits<double>::quiet_NaN());
  }
  parallel_->finish_reductions(stream_, pass);
}

void TrainingStep::update(double learning_rate) {
  backend_.wait(stream_, update_gate_);
  update_gate_ = {};
  if (parallel_ != nullptr) return parallel_->update_weights(stream_, learning_rate);
  update_weights(stream_, backend_, memory_, learning_rate);
}

void TrainingStep::micro_batch(Pass& pass, double loss_scale) {
  Pass::Recording& recording = pass.recording;
  if (recording.loss_scale != loss_scale) recording = {loss_scale, 0, nullptr};
  const auto run = [&] { add_gradients(stream_, backend_, memory_, pass, loss_scale); };
  // The first time runs as it is: libraries choose their algorithms then, which cannot be recorded. Nor can a pass that
  // asks how many documents there are.
  if (recording.runs++ == 1 && !pass.settings.document_end) recording.graph = backend_.capture(stream_, run);
  if (recording.graph) return recording.graph->launch(stream_);
  run();
}

}  // namespace lighthouse
