#include "lighthouse/train/training_step.h"

#include <limits>
#include <stdexcept>

#include "lighthouse/core/error.h"
#include "lighthouse/dist/partition.h"

namespace lighthouse {
namespace {

/// The stop request of a rank that abandons a step: more than one request from every rank.
constexpr double kAbandoned = 1 << 24;

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
  Optimizer& optimizer = memory.optimizer();
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
  if (begun_.size() == kInFlight) throw std::logic_error("too many steps were begun and not finished");
  // Counting documents makes the host wait for the device, which may wait for other ranks, and only the communicator
  // notices when one of these has exited.
  if (parallel_ != nullptr && pass.settings.document_end && !begun_.empty()) {
    parallel_->communicator().wait(begun_.back().written);
  }
  zero_gradients();
  accumulate_gradients(pass, batch, source);
  if (gradient_hook_) gradient_hook_(memory_.gradients());
  if (parallel_ != nullptr) reduce_over_ranks(pass);
  update(learning_rate);
  enqueue_report();
}

void TrainingStep::zero_gradients() {
  backend_.wait(stream_, gradient_gate_);
  gradient_gate_ = {};
  backend_.fill(stream_, memory_.gradients().flat, 0);
  backend_.fill(stream_, memory_.optimizer().step_scalar(kLoss), 0);
}

void TrainingStep::accumulate_gradients(Pass& pass, const BatchSection& batch, const WindowSource& source) {
  windows_.resize(static_cast<size_t>(batch.micro_batch_size * (batch.sequence_length + 1)));
  const double loss_scale = 1.0 / static_cast<double>(batch.tokens_per_step());
  const Mesh& mesh = memory_.mesh();
  const IndexRange share = split_evenly(batch.micro_batches(), mesh.data_size(), mesh.data_rank());
  for (int64_t i = share.begin; i < share.end; ++i) {
    if (!read(source, windows_)) return;
    feed_.feed(stream_, pass.inputs, pass.targets, windows_);
    const bool last = i + 1 == share.end;
    if (parallel_ != nullptr && !gradient_hook_ && last) {
      run_with_communication(pass, loss_scale);
    } else if (!run_recorded(pass, loss_scale)) {
      run_eager(pass, loss_scale);
    }
  }
}

bool TrainingStep::read(const WindowSource& source, std::span<int32_t> windows) {
  if (source_failure_) return false;
  try {
    source(windows);
  } catch (const InputError&) {
    if (parallel_ == nullptr) throw;
    source_failure_ = std::current_exception();
  }
  return !source_failure_;
}

void TrainingStep::run_eager(Pass& pass, double loss_scale) {
  add_gradients(stream_, backend_, memory_, pass, loss_scale);
}

bool TrainingStep::run_recorded(Pass& pass, double loss_scale) {
  // A pass that counts documents on the host cannot be captured.
  if (pass.settings.document_end) return false;
  Pass::Recording& recording = pass.recording;
  if (recording.loss_scale != loss_scale) recording = {loss_scale, 0, nullptr};
  // In the first run libraries choose their algorithms, which cannot be captured; the second run is.
  if (recording.runs++ == 1) {
    recording.graph = backend_.capture(stream_, [&] { run_eager(pass, loss_scale); });
  }
  if (!recording.graph) return false;
  recording.graph->launch(stream_);
  return true;
}

void TrainingStep::run_with_communication(Pass& pass, double loss_scale) {
  // Not captured: the collectives go to another stream, and for MPI the host takes part in them.
  parallel_->watch(stream_, pass);
  run_eager(pass, loss_scale);
}

void TrainingStep::reduce_over_ranks(Pass& pass) {
  Optimizer& optimizer = memory_.optimizer();
  if (gradient_hook_ || source_failure_) parallel_->watch(stream_, pass);
  const double stop = stop_request_ && stop_request_() ? 1 : 0;
  backend_.fill(stream_, optimizer.step_scalar(kStopRequests), source_failure_ ? kAbandoned : stop);
  // A sum without this rank's gradients must not update the weights: a loss of NaN skips the update on all ranks.
  if (source_failure_) {
    backend_.fill(stream_, optimizer.step_scalar(kLoss), std::numeric_limits<double>::quiet_NaN());
  }
  parallel_->finish_reductions(stream_, pass);
}

void TrainingStep::update(double learning_rate) {
  backend_.wait(stream_, update_gate_);
  update_gate_ = {};
  if (parallel_ != nullptr) return parallel_->update_weights(stream_, learning_rate);
  update_weights(stream_, backend_, memory_, learning_rate);
}

void TrainingStep::enqueue_report() {
  const Tensor report = reports_.select(0, static_cast<int64_t>(next_report_));
  next_report_ = (next_report_ + 1) % kInFlight;
  backend_.copy(stream_, report, memory_.optimizer().step_scalars());
  begun_.push_back({report, backend_.record(stream_)});
}

StepResult TrainingStep::finish() {
  const Report report = begun_.front();
  begun_.pop_front();
  parallel_ != nullptr ? parallel_->communicator().wait(report.written) : backend_.wait(report.written);
  const double* scalars = report.scalars.data<double>();
  return {scalars[kLoss], scalars[kGradientNorm], scalars[kSkipped] != 0, scalars[kStopRequests] > 0,
          scalars[kStopRequests] >= kAbandoned};
}

void TrainingStep::check_source() const {
  if (source_failure_) std::rethrow_exception(source_failure_);
}

}  // namespace lighthouse
