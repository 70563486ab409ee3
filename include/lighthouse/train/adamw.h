// The optimizer: AdamW's state and its step over all weights.
#pragma once

#include <cstdint>

#include "lighthouse/config/run_config.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/train/sharding.h"

namespace lighthouse {

class AdamW {
 public:
  /// `backend` must outlive it.
  AdamW(const OptimizerSection& settings, Backend& backend);

  /// Moments of the type that the settings say: all of them, or those that `shard` has.
  void lay_out(Arena& arena, const ModelConfig& config);
  void lay_out(Arena& arena, const ModelConfig& config, const OptimizerShard& shard);

  /// What a step came to, float64 [kStepScalars] on the device. Loss and norm are the caller's to write before step(),
  /// which writes the others.
  const Tensor& step_scalars() const { return step_scalars_; }
  Tensor step_scalar(StepScalar which) const { return step_scalars_.slice(0, which, which + 1); }

  /// Unless loss or norm is not finite: clips the gradient and updates the float32 weights, with decoupled decay on
  /// tensors of two dimensions. `working`, if it is not the weights themselves, becomes their rounded copy. Only what
  /// is held is updated; `weights` may be all of them or, laid out alike, the held ones.
  void step(const Stream& stream, const Parameters& weights, const Parameters& working, const Parameters& gradients,
            double learning_rate);

  /// Updates made so far: t of the bias correction. Skipped steps do not count. Waits for the device.
  int64_t updates() const;
  void set_updates(int64_t updates);
  /// The moments, shaped like the weights; of a share, `flat` alone is defined.
  const Parameters& exp_avg() const { return exp_avg_; }
  const Parameters& exp_avg_sq() const { return exp_avg_sq_; }

 private:
  OptimizerSection settings_;
  Backend& backend_;
  OptimizerShard shard_;
  Parameters exp_avg_;
  Parameters exp_avg_sq_;
  Tensor step_scalars_;
  Tensor scalars_;  // float32 [kAdamScalars]
};

}  // namespace lighthouse
