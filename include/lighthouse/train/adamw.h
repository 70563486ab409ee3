// The optimizer: AdamW's state and its step over all weights.
#pragma once

#include <cstdint>

#include "lighthouse/config/run_config.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

class AdamW {
 public:
  /// `backend` must outlive it.
  AdamW(const OptimizerSection& settings, Backend& backend);

  void lay_out(Arena& arena, const ModelConfig& config);

  /// Updates the weights with decoupled decay on tensors of two dimensions; the gradient is scaled by `gradient_scale`
  /// first (clipping).
  void step(const Stream& stream, const Parameters& weights, const Parameters& gradients, double learning_rate,
            double gradient_scale);

  /// Updates made so far: t of the bias correction. Skipped steps do not count.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  /// The moments, shaped like the weights.
  const Parameters& exp_avg() const { return exp_avg_; }
  const Parameters& exp_avg_sq() const { return exp_avg_sq_; }

 private:
  OptimizerSection settings_;
  Backend& backend_;
  int64_t updates_ = 0;
  Parameters exp_avg_;
  Parameters exp_avg_sq_;
  Tensor scalars_;
};

}  // namespace lighthouse
