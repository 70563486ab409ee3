// The memory of a run, laid out from the config alone: what `lighthouse plan` prints is what training uses.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/model/llama.h"
#include "lighthouse/train/adamw.h"

namespace lighthouse {

/// A pass over the model with the batch that it works on.
struct Pass {
  std::string name;  // "pretrain", "pretrain, dense steps", "recovery, evaluation"
  PassSettings settings;
  std::unique_ptr<Llama> model;
  Tensor inputs;   // int32 [B, N]
  Tensor targets;  // int32 [B, N]
  /// A micro-batch of this pass as a graph, made at its second run with a loss scale.
  struct Recording {
    double loss_scale = 0;
    int64_t runs = 0;
    std::unique_ptr<Graph> graph;
  } recording;
  // What it takes, in bytes.
  int64_t activations = 0;
  int64_t scratch = 0;
  int64_t batch = 0;
};

/// Everything that a run needs in memory: weights, gradients, optimizer state, and over the same memory all passes that
/// its stages make, evaluation included.
class RunMemory {
 public:
  /// Of one rank: with `distributed.shard_optimizer` it has a share of the optimizer's state, and of the master weights
  /// where these are not the weights themselves.
  RunMemory(const RunConfig& config, Backend& backend, const Mesh& mesh = {});

  /// On a measuring arena: only sizes. On a real one: everything is ready to run.
  void lay_out(Arena& arena);

  /// Calls `hook` before each layer of every pass (LayerHooks::weights_needed).
  void set_layer_hook(const LayerHooks::Layer& hook);

  /// The pass that trains a stage's steps of a kind, ready for use.
  Pass& training_pass(int64_t stage, AttentionKind kind);
  /// The pass that evaluates in a kind of attention at a stage's batch shape.
  Pass& evaluation_pass(int64_t stage, AttentionKind kind);

  /// What the model computes with, of the backend's type.
  const Parameters& weights() const { return weights_; }
  /// What the optimizer updates, float32; the same tensors where the backend computes in float32. Where this rank has a
  /// share of them, `flat` alone is defined, and laid out as shard() says.
  const Parameters& master_weights() const { return master_; }
  bool master_is_sharded() const { return !shard_.everything && backend_.dtype() != DType::kFloat32; }
  const Parameters& gradients() const { return gradients_; }
  AdamW& optimizer() { return optimizer_; }
  const AdamW& optimizer() const { return optimizer_; }

  const Mesh& mesh() const { return mesh_; }
  /// What of the optimizer's state is here.
  const OptimizerShard& shard() const { return shard_; }
  /// In which gradients are summed over ranks.
  const std::vector<Bucket>& buckets() const { return buckets_; }
  /// Norms of the gradient's parts, float64: of shard()'s ranges, and of all ranks'. Only where state is shared out.
  const Tensor& range_norms() const { return range_norms_; }
  const Tensor& rank_norms() const { return rank_norms_; }

  /// Takes `host`, float32 and as long as the flat vector, in host memory, for weights. Waits.
  void set_weights(const Tensor& host);
  /// For reductions over the gradients or over a pass's losses.
  const Tensor& reduction_scratch() const { return reduction_scratch_; }

  /// Rounds the master weights to the weights, where these are others.
  void round_weights();
  /// Tokens of the largest batch.
  int64_t largest_batch() const;

  const std::vector<Pass>& passes() const { return passes_; }
  /// Bytes of weights, gradients and optimizer state.
  int64_t persistent_bytes() const { return persistent_bytes_; }

 private:
  PassSettings settings_of(int64_t stage, AttentionKind kind, bool backward) const;
  void add_pass(const std::string& name, int64_t stage, AttentionKind kind, bool backward);
  void lay_out_pass(Arena& arena, Pass& pass);
  Pass& ready(const PassSettings& settings);

  RunConfig config_;
  Backend& backend_;
  Parameters master_, weights_;
  Parameters gradients_;
  Mesh mesh_;
  std::vector<Bucket> buckets_;
  OptimizerShard shard_;
  AdamW optimizer_;
  std::vector<std::optional<int32_t>> document_ends_;  // of each stage: the token that its attention stops at
  Tensor reduction_scratch_;
  Tensor range_norms_, rank_norms_;
  std::vector<Pass> passes_;
  const Pass* prepared_ = nullptr;  // whose constants are in memory
  int64_t persistent_bytes_ = 0;
};

/// `auto` keeps all: with_recompute() has the choice.
Recompute recompute_of(RecomputeChoice choice);

/// The token at which a stage's documents end, if its attention is to know.
std::optional<int32_t> document_end_of(const RunConfig& config, const StageSection& stage);

/// Bytes of device memory that a run of this config takes, on each rank.
int64_t planned_bytes(const RunConfig& config, Backend& backend, const Mesh& mesh = {});

/// Bytes that a run may take: what the config says (hardware.memory), else what the device can give.
int64_t available_bytes(const RunConfig& config, const Backend& backend);

/// The config with each stage's `recompute: auto` replaced by the least that fits into `available` bytes, or by the
/// most if nothing does.
RunConfig with_recompute(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh = {});

/// Throws InputError if `config` needs more than `available`: by how much, and which micro_batch_size or
/// sequence_length would fit.
void check_memory(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh = {});

}  // namespace lighthouse
