#include "lighthouse/train/scaling.h"

#include <algorithm>
#include <cmath>

#include "lighthouse/train/run_memory.h"
#include "lighthouse/train/step_cost.h"

namespace lighthouse {
namespace {

constexpr double kBackwardFraction = 2.0 / 3;  // of a micro-batch's time

/// Seconds of a step on one rank.
struct OneRank {
  double micro_batch = 0;
  double update = 0;
};

OneRank one_rank(const RunConfig& config, int64_t stage, AttentionKind kind, Backend& backend, const Rates& rates,
                 double measured) {
  const auto micro_batches = static_cast<double>(config.stages[static_cast<size_t>(stage)].batch.micro_batches());
  const double step = roofline_seconds(step_costs(config, stage, kind, backend, rates));
  const double update = roofline_seconds(update_costs(config, backend, rates));
  const double scale = measured > 0 ? measured / step : 1;
  return {scale * (step - update) / micro_batches, scale * update};
}

}  // namespace

double all_reduce_seconds(const HardwareSection& hardware, double bytes, int ranks) {
  if (ranks == 1) return 0;
  constexpr double kMicrosecond = 1e-6;
  const auto size = static_cast<double>(ranks);
  const auto per_host = static_cast<double>(std::min<int64_t>(hardware.ranks_per_host, ranks));
  const double hosts = std::ceil(size / per_host);
  const double bandwidth =
      1e9 * (hosts > 1 ? std::min(hardware.link_bandwidth, hardware.network_bandwidth) : hardware.link_bandwidth);
  const double latency =
      2 * kMicrosecond *
      (std::ceil(std::log2(per_host)) * hardware.link_latency + std::ceil(std::log2(hosts)) * hardware.network_latency);
  return latency + 2 * (size - 1) / size * bytes / bandwidth;
}

ScalingPlan plan_scaling(const RunConfig& config, int64_t stage, AttentionKind kind, Backend& backend,
                         const Rates& rates, int ranks, double measured) {
  const BatchSection& batch = config.stages[static_cast<size_t>(stage)].batch;
  const OneRank one = one_rank(config, stage, kind, backend, rates, measured);
  const bool sharded = config.distributed.shard_optimizer && ranks > 1;
  const RunMemory memory(config, backend, Mesh(0, ranks));
  const double backward = kBackwardFraction * one.micro_batch;
  const auto layers = static_cast<double>(config.model.num_hidden_layers);

  ScalingPlan plan;
  plan.micro_batches = (batch.micro_batches() + ranks - 1) / ranks;
  plan.compute_seconds = static_cast<double>(plan.micro_batches) * one.micro_batch + one.update / (sharded ? ranks : 1);
  // Buckets are reduced one after another, each after its layer is done: layer l after (layers - l) / layers of
  // backward.
  double end = 0;
  double gathering = 0;
  double elements = 0;
  for (const Bucket& bucket : memory.buckets()) {
    const auto numel = static_cast<double>(bucket.size());
    const double ready = backward * (layers - static_cast<double>(std::max<int64_t>(bucket.layer, 0))) / layers;
    const double sum = all_reduce_seconds(config.hardware, 4 * numel, ranks) / (sharded ? 2 : 1);
    end = std::max(end, ready) + sum;
    plan.communication_seconds += sum;
    elements += numel;
    if (sharded) {
      const auto weight = static_cast<double>(size_of(backend.dtype()));
      gathering += all_reduce_seconds(config.hardware, weight * numel, ranks) / 2;
    }
  }
  plan.communication_seconds += gathering;
  plan.exposed_seconds = std::max(0.0, end - backward) + gathering;
  plan.step_seconds = plan.compute_seconds + plan.exposed_seconds;
  const double others = static_cast<double>(ranks - 1) / ranks;
  const double sent = sharded ? 4 + static_cast<double>(size_of(backend.dtype())) : 8;
  plan.bytes_sent = static_cast<int64_t>(others * sent * elements);
  plan.tokens_per_second = static_cast<double>(batch.tokens_per_step()) / plan.step_seconds;
  const double alone = static_cast<double>(batch.micro_batches()) * one.micro_batch + one.update;
  plan.efficiency = alone / (ranks * plan.step_seconds);
  return plan;
}

}  // namespace lighthouse
