#include "lighthouse/train/adamw.h"

#include "lighthouse/ops/transfer.h"

namespace lighthouse {

AdamW::AdamW(const OptimizerSection& settings, Backend& backend) : settings_(settings), backend_(backend) {}

void AdamW::lay_out(Arena& arena, const ModelConfig& config) {
  lay_out(arena, config, unsharded(config));
}

void AdamW::lay_out(Arena& arena, const ModelConfig& config, const OptimizerShard& shard) {
  shard_ = shard;
  const auto moments = [&] {
    if (shard.everything) {
      return lay_out_parameters(arena, MemoryUse::kOptimizer, config, settings_.state_dtype);
    }
    Parameters share;
    share.flat = arena.allocate(MemoryUse::kOptimizer, {shard.numel}, settings_.state_dtype);
    return share;
  };
  exp_avg_ = moments();
  exp_avg_sq_ = moments();
  step_scalars_ = arena.allocate(MemoryUse::kOptimizer, {kStepScalars}, DType::kFloat64);
  scalars_ = arena.allocate(MemoryUse::kOptimizer, {kAdamScalars});
}

void AdamW::step(const Stream& stream, const Parameters& weights, const Parameters& working,
                 const Parameters& gradients, double learning_rate) {
  AdamSettings settings{settings_.beta1, settings_.beta2, settings_.epsilon, settings_.weight_decay};
  backend_.plan_update(stream, scalars_, step_scalars_, learning_rate, settings_.clip_grad_norm, settings);
  const bool rounded = working.flat.dtype() != weights.flat.dtype();
  const bool all_weights = weights.flat.numel() == gradients.flat.numel();
  for (const ShardRange& range : shard_.ranges) {
    settings.weight_decay = range.decays ? settings_.weight_decay : 0;
    const auto in_all = [&](const Tensor& flat) { return flat.slice(0, range.begin, range.end); };
    const auto in_share = [&](const Tensor& flat) { return flat.slice(0, range.at, range.at + range.size()); };
    backend_.adamw(stream, all_weights ? in_all(weights.flat) : in_share(weights.flat),
                   rounded ? in_all(working.flat) : Tensor(), in_share(exp_avg_.flat), in_share(exp_avg_sq_.flat),
                   in_all(gradients.flat), scalars_, settings);
  }
}

int64_t AdamW::updates() const {
  return static_cast<int64_t>(download<double>(backend_, step_scalars_).at(kUpdates));
}

void AdamW::set_updates(int64_t updates) {
  std::vector<double> scalars(kStepScalars, 0.0);
  scalars[kUpdates] = static_cast<double>(updates);
  upload(backend_, step_scalars_, {scalars.data(), {kStepScalars}, DType::kFloat64});
}

}  // namespace lighthouse
