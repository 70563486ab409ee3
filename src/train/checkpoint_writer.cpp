#include "lighthouse/train/checkpoint_writer.h"

#include <chrono>

#include "lighthouse/ops/transfer.h"

namespace lighthouse {
namespace {

bool on_host(const Backend& backend) {
  return backend.device().kind == DeviceKind::kCpu;
}

/// What of the moments a rank writes.
OptimizerShard written_by(const RunConfig& config, const Mesh& mesh) {
  if (mesh.data_size() == 1) return unsharded(config.model);
  if (!config.distributed.shard_optimizer) return contiguous_shard(config.model, mesh.data_size(), mesh.data_rank());
  constexpr double kMebibyte = 1024.0 * 1024;
  const auto buckets = plan_buckets(config.model, kMebibyte * config.distributed.bucket, mesh.data_size());
  return shard_of_buckets(buckets, mesh.data_size(), mesh.data_rank());
}

struct Copies {
  Parameters weights;
  Moments moments;
};

Copies lay_out(Arena& arena, const RunConfig& config, const Mesh& mesh) {
  Copies copies;
  if (mesh.rank() == 0) copies.weights = lay_out_parameters(arena, MemoryUse::kWeights, config.model);
  copies.moments.shard = written_by(config, mesh);
  const Shape held{copies.moments.shard.numel};
  copies.moments.exp_avg = arena.allocate(MemoryUse::kOptimizer, held, config.optimizer.state_dtype);
  copies.moments.exp_avg_sq = arena.allocate(MemoryUse::kOptimizer, held, config.optimizer.state_dtype);
  return copies;
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
    const Copies copies = lay_out(pinned_, config, memory.mesh());
    weights_ = copies.weights;
    moments_ = copies.moments;
    return;
  }
  weights_ = memory.master_weights();
  moments_ = {memory.optimizer().exp_avg().flat, memory.optimizer().exp_avg_sq().flat, memory.shard()};
  const OptimizerShard written = written_by(config, memory.mesh());
  if (written.everything == memory.shard().everything) return;
  const ShardRange piece = written.ranges.empty() ? ShardRange{} : written.ranges.front();
  moments_ = {moments_.exp_avg.slice(0, piece.begin, piece.end), moments_.exp_avg_sq.slice(0, piece.begin, piece.end),
              written};
}

int64_t CheckpointWriter::pinned_bytes(const RunConfig& config, const Backend& backend, const Mesh& mesh) {
  if (on_host(backend)) return 0;
  Arena measuring;
  lay_out(measuring, config, mesh);
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

void CheckpointWriter::set_moments(const std::function<void(const Moments&)>& fill) {
  const AdamW& optimizer = memory_.optimizer();
  const Tensor& first = optimizer.exp_avg().flat;
  const Tensor& second = optimizer.exp_avg_sq().flat;
  if (on_host(backend_)) return fill({first, second, memory_.shard()});
  Arena host(2 * (first.bytes() + Arena::kAlignment));
  const auto moment = [&] { return host.allocate(MemoryUse::kOptimizer, first.shape(), first.dtype()); };
  const Tensor exp_avg = moment();
  const Moments moments{exp_avg, moment(), memory_.shard()};
  fill(moments);
  upload(backend_, first, moments.exp_avg);
  upload(backend_, second, moments.exp_avg_sq);
}

Event CheckpointWriter::begin(const CheckpointState& state) {
  Event copied;
  if (!on_host(backend_)) {
    const bool gathered = memory_.master_is_sharded();
    if (gathered) parallel_->gather_master_weights(backend_.compute_stream());
    const Stream copies = backend_.download_stream();
    backend_.wait(copies, backend_.record(backend_.compute_stream()));
    if (group_.is_rank0()) {
      backend_.copy(copies, weights_.flat, gathered ? memory_.gradients().flat : memory_.master_weights().flat);
    }
    copy_moments(copies);
    copied = backend_.record(copies);
  }
  // On the CPU the state itself is written, so it must not change before: finished() writes it.
  const auto policy = on_host(backend_) ? std::launch::deferred : std::launch::async;
  writing_ = std::async(policy, [this, state, copied] {
    backend_.wait(copied);
    return save_checkpoint(directory_, state, weights_, moments_, config_.model, group_);
  });
  return copied;
}

void CheckpointWriter::copy_moments(const Stream& stream) {
  const AdamW& optimizer = memory_.optimizer();
  const bool alike = moments_.shard.everything == memory_.shard().everything;
  const auto copy = [&](const Tensor& to, const Tensor& from) {
    if (alike) return backend_.copy(stream, to, from);
    for (const ShardRange& range : moments_.shard.ranges) {
      backend_.copy(stream, to.slice(0, range.at, range.at + range.size()), from.slice(0, range.begin, range.end));
    }
  };
  copy(moments_.exp_avg, optimizer.exp_avg().flat);
  copy(moments_.exp_avg_sq, optimizer.exp_avg_sq().flat);
}

std::optional<std::filesystem::path> CheckpointWriter::finished(bool wait) {
  if (!writing_.valid()) return std::nullopt;
  if (!wait && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::timeout) return std::nullopt;
  return writing_.get();
}

}  // namespace lighthouse
