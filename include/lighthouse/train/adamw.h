// AdamW with decoupled weight decay (Loshchilov and Hutter, 2019).
#pragma once

#include "lighthouse/train/optimizer.h"

namespace lighthouse {

/// Keeps "exp_avg" and "exp_avg_sq" for every parameter, of optimizer.state_dtype. Weight decay is for matrices only.
class AdamW final : public Optimizer {
 public:
  AdamW(const OptimizerSection& settings, Backend& backend) : Optimizer(settings, backend) {}

  ParameterState state_of(const ParameterSpec& parameter) const override;
  void step(const Stream& stream, const Parameters& weights, const Parameters& working, const Parameters& gradients,
            double learning_rate) override;

 private:
  void lay_out_scratch(Arena& arena) override;

  Tensor scalars_;  // float32 [kAdamScalars]
};

}  // namespace lighthouse
