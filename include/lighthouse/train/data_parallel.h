// Data parallelism: gradients summed over ranks, and an optimizer state that may be sharded over them.
#pragma once

#include <cstdint>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

/// Throws InputError unless each rank has a micro-batch in a step of this stage.
void check_batch_split(const StageSection& stage, const Mesh& mesh);

/// Sums gradients over the ranks of the mesh's data dimension, bucket by bucket, while backward still computes the
/// gradients of earlier layers. With a sharded optimizer state, gradients are reduce-scattered, each rank updates the
/// weights of its shard, and the new weights are all-gathered.
///
/// All ranks make the same calls in the same order. A call throws what the communicator throws (PeerError, RunError).
class DataParallel {
 public:
  /// `data`: the communicator of the data dimension, of the size and rank in memory.mesh(). All must outlive it.
  DataParallel(RunMemory& memory, Communicator& data, Backend& backend);

  /// Before the backward pass of a step's last micro-batch: from here to finish_reductions(), the reduction of a bucket
  /// starts as soon as `pass` has enqueued its gradients on `stream`.
  void watch(const Stream& stream, Pass& pass);
  /// After that backward pass: reduces the remaining buckets, the loss and the stop requests. Work enqueued on `stream`
  /// afterwards sees all sums.
  void finish_reductions(const Stream& stream, Pass& pass);
  /// The norm of the summed gradient, the optimizer's step, and the all-gather of sharded weights.
  void update_weights(const Stream& stream, double learning_rate);

  /// Overwrites the gradients with the float32 weights of all shards, for saving them.
  void gather_master_weights(const Stream& stream);

  Communicator& communicator() { return data_; }

 private:
  void reduce_complete_buckets(const Stream& stream, int64_t layer);
  void sharded_gradient_norm(const Stream& stream);

  RunMemory& memory_;
  Communicator& data_;
  Backend& backend_;
  size_t next_bucket_ = 0;  // the first bucket that is not reduced yet
  Llama::HooksHandle hooks_ = 0;
};

}  // namespace lighthouse
