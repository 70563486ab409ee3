// The device memory of a run, laid out from its config alone: `lighthouse plan` prints the layout that training uses.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/model/llama.h"
#include "lighthouse/train/optimizer.h"

namespace lighthouse {

/// A pass over the model, forward or forward and backward, with its batch.
struct Pass {
  std::string name;  // "pretrain", "pretrain, dense steps", "recovery, evaluation"
  PassSettings settings;
  std::unique_ptr<Llama> model;
  Tensor inputs;   // int32 [B, N]
  Tensor targets;  // int32 [B, N]
  /// A micro-batch of this pass as a graph. TrainingStep captures it.
  struct Recording {
    double loss_scale = 0;
    int64_t runs = 0;  // with this loss scale
    std::unique_ptr<Graph> graph;
  } recording;
  // Bytes.
  int64_t activations = 0;
  int64_t scratch = 0;
  int64_t batch = 0;
};

/// Weights, gradients and optimizer state of a run and, in memory that they share, all passes that its stages make,
/// evaluation included. To be used from the thread that drives the compute stream.
class RunMemory {
 public:
  /// The memory of one rank. With distributed.shard_optimizer a rank holds a shard of the optimizer's state and, where
  /// the model computes in bfloat16, of the master weights. `config` has its document ends (with_document_ends).
  /// `backend` must outlive the object. Throws InputError if a stage's settings do not fit its sequence length, or if
  /// the optimizer cannot be sharded.
  RunMemory(const RunConfig& config, Backend& backend, const Mesh& mesh = {});

  /// Lays out everything. On a measuring arena the tensors have no memory, and only sizes can be asked for.
  void lay_out(Arena& arena);

  /// Adds a hook that every pass calls before each layer (LayerHooks::weights_needed).
  void add_layer_hook(const LayerHooks::Layer& hook);

  /// The pass that trains a stage's steps in a kind of attention, prepared on the compute stream. Throws
  /// std::logic_error if the stage has no such steps.
  Pass& training_pass(int64_t stage, AttentionKind kind);
  /// The same for evaluation at a stage's batch shape.
  Pass& evaluation_pass(int64_t stage, AttentionKind kind);

  /// The weights that the model computes with, of the backend's type.
  const Parameters& weights() const { return weights_; }
  /// The weights that the optimizer updates, float32; the same tensors as weights() if the backend computes in float32.
  /// If they are sharded, `flat` alone is defined and holds the stretches of shard().
  const Parameters& master_weights() const { return master_; }
  bool master_is_sharded() const { return !shard_.everything && backend_.dtype() != DType::kFloat32; }
  /// float32, of all parameters on every rank.
  const Parameters& gradients() const { return gradients_; }
  Optimizer& optimizer() { return *optimizer_; }
  const Optimizer& optimizer() const { return *optimizer_; }

  const Mesh& mesh() const { return mesh_; }
  /// The part of the parameters that this rank updates.
  const OptimizerShard& shard() const { return shard_; }
  /// The buckets in which gradients are reduced over the ranks.
  const std::vector<Bucket>& buckets() const { return buckets_; }
  /// Scratch for the norm of a sharded gradient, float64: one element for each range of shard(), one for each rank.
  /// Undefined if this rank updates everything.
  const Tensor& range_norms() const { return range_norms_; }
  const Tensor& rank_norms() const { return rank_norms_; }
  /// Scratch for reductions over the gradients or over a pass's losses.
  const Tensor& reduction_scratch() const { return reduction_scratch_; }

  /// Sets weights() and master_weights() from `host`, the whole flat vector, float32 in host memory. Overwrites the
  /// gradients if the master weights are sharded. Returns when the device has finished.
  void set_weights(const Tensor& host);
  /// Enqueues the rounding of the master weights to weights(), if these have another type.
  void round_weights();

  /// Tokens of the largest micro-batch.
  int64_t largest_batch() const;
  const std::vector<Pass>& passes() const { return passes_; }
  /// Bytes of what the passes do not share: weights, gradients, optimizer state and scratch of the step.
  int64_t persistent_bytes() const { return persistent_bytes_; }

 private:
  PassSettings settings_of(int64_t stage, AttentionKind kind, bool backward) const;
  void add_passes(int64_t stage);
  void add_pass(const std::string& name, int64_t stage, AttentionKind kind, bool backward);
  void lay_out_step(Arena& arena);
  void lay_out_pass(Arena& arena, Pass& pass);
  Pass& prepared(const PassSettings& settings);

  RunConfig config_;
  Backend& backend_;
  Parameters master_, weights_;
  Parameters gradients_;
  Mesh mesh_;
  std::vector<Bucket> buckets_;
  OptimizerShard shard_;
  std::unique_ptr<Optimizer> optimizer_;
  Tensor reduction_scratch_;
  Tensor range_norms_, rank_norms_;
  std::vector<Pass> passes_;
  const Pass* prepared_ = nullptr;  // the pass whose constants are in the shared memory
  int64_t persistent_bytes_ = 0;
};

/// What a stage recomputes. `auto` counts as none: with_recompute() resolves it.
Recompute recompute_of(RecomputeChoice choice);

}  // namespace lighthouse
