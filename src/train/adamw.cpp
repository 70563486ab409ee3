#include "lighthouse/train/adamw.h"

#include "lighthouse/ops/transfer.h"

namespace lighthouse {

AdamW::AdamW(const OptimizerSection& settings, Backend& backend) : settings_(settings), backend_(backend) {}

void AdamW::lay_out(Arena& arena, const ModelConfig& config) {
  exp_avg_ = lay_out_parameters(arena, MemoryUse::kOptimizer, config, settings_.state_dtype);
  exp_avg_sq_ = lay_out_parameters(arena, MemoryUse::kOptimizer, config, settings_.state_dtype);
  step_scalars_ = arena.allocate(MemoryUse::kOptimizer, {kStepScalars}, DType::kFloat64);
  scalars_ = arena.allocate(MemoryUse::kOptimizer, {kAdamScalars});
}

void AdamW::step(const Stream& stream, const Parameters& weights, const Parameters& working,
                 const Parameters& gradients, double learning_rate) {
  AdamSettings settings{settings_.beta1, settings_.beta2, settings_.epsilon, settings_.weight_decay};
  backend_.plan_update(stream, scalars_, step_scalars_, learning_rate, settings_.clip_grad_norm, settings);
  const bool rounded = working.flat.dtype() != weights.flat.dtype();
  for (Tensor Parameters::*part : {&Parameters::matrices, &Parameters::vectors}) {
    backend_.adamw(stream, weights.*part, rounded ? working.*part : Tensor(), exp_avg_.*part, exp_avg_sq_.*part,
                   gradients.*part, scalars_, settings);
    settings.weight_decay = 0;  // of the vectors
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
