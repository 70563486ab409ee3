// What training needs of an optimizer: its state, laid out and sharded by parameter, and its step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/train/sharding.h"

namespace lighthouse {

/// The smallest piece of a parameter that can be updated without the rest of it.
enum class ShardUnit : uint8_t {
  kElement,
  kMatrix,  // each of ParameterSpec::tensors is a matrix of its own: q, k and v; gate and up
};

/// What an optimizer keeps for one parameter.
struct ParameterState {
  std::vector<std::string> tensors;  // names of the state tensors, each shaped like the parameter
  ShardUnit unit = ShardUnit::kElement;
};

/// One state tensor of all parameters that have it, or a rank's shard of it.
struct StateTensor {
  std::string name;      // "exp_avg"; in a checkpoint, before the parameter's name
  Tensor elements;       // [shard.numel], float32 or bfloat16
  OptimizerShard shard;  // which stretches of the flat vector `elements` holds
};

/// An optimizer's state and its step. Memory plan, sharding and checkpoints take from here which tensors there are; an
/// implementation adds the update itself. To be used from the thread that drives the compute stream.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// What is kept for a parameter.
  virtual ParameterState state_of(const ParameterSpec& parameter) const = 0;

  /// One update of the weights in `shard`, in the order of `stream`, unless loss or norm in step_scalars() is not
  /// finite; they must be written before. Clips the gradient to optimizer.clip_grad_norm and writes the other step
  /// scalars. `weights`: float32, the whole flat vector or, if `shard` is not everything, the shard alone. `working`:
  /// if it has another type, it becomes the rounded copy of what was updated. `gradients`: float32, the whole flat
  /// vector.
  virtual void step(const Stream& stream, const Parameters& weights, const Parameters& working,
                    const Parameters& gradients, double learning_rate) = 0;

  /// Lays out the state tensors and scalars for the parameters in `shard`. Must precede all that follows.
  void lay_out(Arena& arena, const ModelConfig& model, const OptimizerShard& shard);
  /// Lays out tensors like those of state(), of another shard or in other memory. Changes nothing here.
  std::vector<StateTensor> lay_out_state(Arena& arena, const ModelConfig& model, const OptimizerShard& shard) const;

  const std::vector<StateTensor>& state() const { return state_; }
  /// Throws std::logic_error if there is none of this name.
  const StateTensor& state(std::string_view name) const;

  /// Bytes of the whole state of a model, without padding: what its checkpoint holds.
  int64_t state_bytes(const ModelConfig& model) const;

  /// Loss, norm and outcome of a step: float64 [kStepScalars] on the device. The caller writes loss, stop requests and
  /// norm, step() the others.
  const Tensor& step_scalars() const { return step_scalars_; }
  Tensor step_scalar(StepScalar which) const { return step_scalars_.slice(0, which, which + 1); }

  /// Updates made so far, skipped steps not counted. Waits for the device.
  int64_t updates() const;
  void set_updates(int64_t updates);

 protected:
  /// `backend` must outlive the optimizer.
  Optimizer(const OptimizerSection& settings, Backend& backend) : settings_(settings), backend_(backend) {}

  /// Lays out what step() needs beside the state.
  virtual void lay_out_scratch(Arena& arena) = 0;

  OptimizerSection settings_;
  Backend& backend_;

 private:
  std::vector<StateTensor> state_;
  Tensor step_scalars_;
};

/// The optimizer that `settings.name` names.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerSection& settings, Backend& backend);

/// Throws InputError if the optimizer keeps state that cannot be divided among ranks by element.
void check_shards_by_element(const Optimizer& optimizer, const ModelConfig& model);

}  // namespace lighthouse
