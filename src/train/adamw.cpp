#include "lighthouse/train/adamw.h"

#include <cmath>

namespace lighthouse {

AdamW::AdamW(const OptimizerSection& settings, Backend& backend) : settings_(settings), backend_(backend) {}

void AdamW::lay_out(Arena& arena, const ModelConfig& config) {
  exp_avg_ = lay_out_parameters(arena, MemoryUse::kOptimizer, config);
  exp_avg_sq_ = lay_out_parameters(arena, MemoryUse::kOptimizer, config);
  scalars_ = arena.allocate(MemoryUse::kOptimizer, {kAdamScalars});
}

void AdamW::step(const Stream& stream, const Parameters& weights, const Parameters& gradients, double learning_rate,
                 double gradient_scale) {
  ++updates_;
  const auto t = static_cast<double>(updates_);
  float* scalars = scalars_.data<float>();
  scalars[kLearningRate] = static_cast<float>(learning_rate);
  scalars[kBiasCorrection1] = static_cast<float>(1 - std::pow(settings_.beta1, t));
  scalars[kBiasCorrection2] = static_cast<float>(1 - std::pow(settings_.beta2, t));
  scalars[kGradientScale] = static_cast<float>(gradient_scale);

  const std::vector<Tensor> w = optimizer_views(weights);
  const std::vector<Tensor> g = optimizer_views(gradients);
  const std::vector<Tensor> m = optimizer_views(exp_avg_);
  const std::vector<Tensor> v = optimizer_views(exp_avg_sq_);
  for (size_t i = 0; i < w.size(); ++i) {
    const double decay = w[i].rank() >= 2 ? settings_.weight_decay : 0;
    backend_.adamw(stream, w[i], m[i], v[i], g[i], scalars_,
                   {settings_.beta1, settings_.beta2, settings_.epsilon, decay});
  }
}

}  // namespace lighthouse
