#include "lighthouse/train/checkpoint_writer.h"

#include <chrono>

#include "lighthouse/ops/transfer.h"

namespace lighthouse {
namespace {

bool on_host(const Backend& backend) {
  return backend.device().kind == DeviceKind::kCpu;
}

/// What a rank writes of the optimizer's state.
OptimizerShard written_shard(const RunConfig& config, const Mesh& mesh) {
  if (mesh.data_size() == 1) return unsharded(config.model);
  if (!config.distributed.shard_optimizer) return contiguous_shard(config.model, mesh.data_size(), mesh.data_rank());
  return shard_of_buckets(buckets_of(config, mesh), mesh.data_size(), mesh.data_rank());
}

struct CheckpointCopy {
  Parameters weights;
  std::vector<StateTensor> state;
};

CheckpointCopy lay_out_copy(Arena& arena, const RunConfig& config, const Optimizer& optimizer, const Mesh& mesh) {
  CheckpointCopy copy;
  if (mesh.rank() == 0) copy.weights = lay_out_parameters(arena, MemoryUse::kWeights, config.model);
  copy.state = optimizer.lay_out_state(arena, config.model, written_shard(config, mesh));
  return copy;
}

}  // namespace

CheckpointWriter::CheckpointWriter(RunMemory& memory, const RunConfig& config, Backend& backend,
                                   std::filesystem::path directory, ProcessGroup& group, DataParallel* parallel)
    : memory_(memory),
      config_(config),
      backend_(backend),
      directory_(std::move(directory)),
      group_(group),
      parallel_(parallel) {
  if (!on_host(backend)) {
    pinned_ = Arena(backend.allocate_host(pinned_bytes(config, backend, memory.mesh())));
    CheckpointCopy copy = lay_out_copy(pinned_, config, memory.optimizer(), memory.mesh());
    weights_ = copy.weights;
    state_ = std::move(copy.state);
    return;
  }
  weights_ = memory.master_weights();
  state_ = memory.optimizer().state();
  const OptimizerShard written = written_shard(config, memory.mesh());
  for (StateTensor& tensor : state_) tensor.shard = common_part(tensor.shard, written);
}

int64_t CheckpointWriter::pinned_bytes(const RunConfig& config, Backend& backend, const Mesh& mesh) {
  if (on_host(backend)) return 0;
  Arena measuring;
  lay_out_copy(measuring, config, *make_optimizer(config.optimizer, backend), mesh);
  return measuring.used();
}

void CheckpointWriter::set_weights(const std::function<void(const Parameters&)>& fill) {
  if (on_host(backend_)) return fill(memory_.master_weights());
  Arena measuring;
  lay_out_parameters(measuring, MemoryUse::kWeights, config_.model);
  Arena host(measuring.used());
  const Parameters weights = lay_out_parameters(host, MemoryUse::kWeights, config_.model);
  fill(weights);
  memory_.set_weights(weights.flat);
}

void CheckpointWriter::set_optimizer_state(const std::function<void(const std::vector<StateTensor>&)>& fill) {
  const Optimizer& optimizer = memory_.optimizer();
  if (on_host(backend_)) return fill(optimizer.state());
  Arena measuring;
  optimizer.lay_out_state(measuring, config_.model, memory_.shard());
  Arena host(measuring.used());
  const std::vector<StateTensor> filled = optimizer.lay_out_state(host, config_.model, memory_.shard());
  fill(filled);
  for (size_t i = 0; i < filled.size(); ++i) upload(backend_, optimizer.state()[i].elements, filled[i].elements);
}

Event CheckpointWriter::begin(const CheckpointState& state) {
  Event copied;
  if (!on_host(backend_)) {
    const bool gathered = memory_.master_is_sharded();
    if (gathered) parallel_->gather_master_weights(backend_.compute_stream());
    const Stream stream = backend_.download_stream();
    backend_.wait(stream, backend_.record(backend_.compute_stream()));
    if (group_.is_rank0()) {
      backend_.copy(stream, weights_.flat, gathered ? memory_.gradients().flat : memory_.master_weights().flat);
    }
    for (size_t i = 0; i < state_.size(); ++i) {
      const StateTensor& from = memory_.optimizer().state()[i];
      copy_shard(backend_, stream, state_[i].elements, state_[i].shard, from.elements, from.shard);
    }
    copied = backend_.record(stream);
  }
  // On the CPU the tensors themselves are written, in finished(), so that they cannot change meanwhile.
  const auto policy = on_host(backend_) ? std::launch::deferred : std::launch::async;
  writing_ = std::async(policy, [this, state, copied] {
    backend_.wait(copied);
    return save_checkpoint(directory_, state, weights_, state_, config_.model, group_);
  });
  return copied;
}

std::optional<std::filesystem::path> CheckpointWriter::finished(bool wait) {
  if (!writing_.valid()) return std::nullopt;
  if (!wait && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::timeout) return std::nullopt;
  return writing_.get();
}

}  // namespace lighthouse
