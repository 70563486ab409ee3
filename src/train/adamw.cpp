#include "lighthouse/train/adamw.h"

namespace lighthouse {
namespace {

constexpr const char* kExpAvg = "exp_avg";
constexpr const char* kExpAvgSq = "exp_avg_sq";

}  // namespace

ParameterState AdamW::state_of(const ParameterSpec& /*parameter*/) const {
  return {{kExpAvg, kExpAvgSq}, ShardUnit::kElement};
}

void AdamW::lay_out_scratch(Arena& arena) {
  scalars_ = arena.allocate(MemoryUse::kOptimizer, {kAdamScalars});
}

void AdamW::step(const Stream& stream, const Parameters& weights, const Parameters& working,
                 const Parameters& gradients, double learning_rate) {
  AdamSettings settings{settings_.beta1, settings_.beta2, settings_.epsilon, settings_.weight_decay};
  backend_.plan_update(stream, scalars_, step_scalars(), learning_rate, settings_.clip_grad_norm, settings);
  const StateTensor& exp_avg = state(kExpAvg);
  const StateTensor& exp_avg_sq = state(kExpAvgSq);
  const bool rounded = working.flat.dtype() != weights.flat.dtype();
  const bool all_weights = weights.flat.numel() == gradients.flat.numel();
  for (const ShardRange& range : exp_avg.shard.ranges) {
    settings.weight_decay = range.decays ? settings_.weight_decay : 0;
    backend_.adamw(stream, all_weights ? range.in_flat(weights.flat) : range.in_shard(weights.flat),
                   rounded ? range.in_flat(working.flat) : Tensor(), range.in_shard(exp_avg.elements),
                   range.in_shard(exp_avg_sq.elements), range.in_flat(gradients.flat), scalars_, settings);
  }
}

}  // namespace lighthouse
