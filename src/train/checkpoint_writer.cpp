#include "lighthouse/train/checkpoint_writer.h"

#include <chrono>

namespace lighthouse {
namespace {

bool on_host(const Backend& backend) {
  return backend.device().kind == DeviceKind::kCpu;
}

CheckpointTensors lay_out(Arena& arena, const RunConfig& config) {
  const auto moments = [&] {
    return lay_out_parameters(arena, MemoryUse::kOptimizer, config.model, config.optimizer.state_dtype);
  };
  const Parameters weights = lay_out_parameters(arena, MemoryUse::kWeights, config.model);
  const Parameters exp_avg = moments();
  return {weights, exp_avg, moments()};
}

}  // namespace

CheckpointWriter::CheckpointWriter(RunMemory& memory, const RunConfig& config, Backend& backend,
                                   std::filesystem::path directory)
    : memory_(memory), model_(config.model), backend_(backend), directory_(std::move(directory)) {
  if (on_host(backend)) {
    host_ = {memory.master_weights(), memory.optimizer().exp_avg(), memory.optimizer().exp_avg_sq()};
  } else {
    pinned_ = Arena(backend.allocate_host(pinned_bytes(config, backend)));
    host_ = lay_out(pinned_, config);
  }
}

int64_t CheckpointWriter::pinned_bytes(const RunConfig& config, const Backend& backend) {
  if (on_host(backend)) return 0;
  Arena measuring;
  lay_out(measuring, config);
  return measuring.used();
}

void CheckpointWriter::upload_weights() {
  const Stream stream = backend_.compute_stream();
  if (!on_host(backend_)) backend_.copy(stream, memory_.master_weights().flat, host_.weights.flat);
  memory_.round_weights();
  backend_.wait(stream);
}

void CheckpointWriter::upload_moments() {
  if (on_host(backend_)) return;
  const Stream stream = backend_.compute_stream();
  backend_.copy(stream, memory_.optimizer().exp_avg().flat, host_.exp_avg.flat);
  backend_.copy(stream, memory_.optimizer().exp_avg_sq().flat, host_.exp_avg_sq.flat);
  backend_.wait(stream);
}

Event CheckpointWriter::begin(const CheckpointState& state) {
  Event copied;
  if (!on_host(backend_)) {
    const Stream copies = backend_.download_stream();
    backend_.wait(copies, backend_.record(backend_.compute_stream()));
    backend_.copy(copies, host_.weights.flat, memory_.master_weights().flat);
    backend_.copy(copies, host_.exp_avg.flat, memory_.optimizer().exp_avg().flat);
    backend_.copy(copies, host_.exp_avg_sq.flat, memory_.optimizer().exp_avg_sq().flat);
    copied = backend_.record(copies);
  }
  // On the CPU the state itself is written, so it must not change before: finished() writes it.
  const auto policy = on_host(backend_) ? std::launch::deferred : std::launch::async;
  writing_ = std::async(policy, [this, state, copied] {
    backend_.wait(copied);
    return save_checkpoint(directory_, state, host_, model_);
  });
  return copied;
}

std::optional<std::filesystem::path> CheckpointWriter::finished(bool wait) {
  if (!writing_.valid()) return std::nullopt;
  if (!wait && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::timeout) return std::nullopt;
  return writing_.get();
}

}  // namespace lighthouse
