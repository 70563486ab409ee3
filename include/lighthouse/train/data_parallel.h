// What the ranks of a data parallel run do together in a step.
#pragma once

#include <cstdint>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

/// Throws InputError unless each rank has a micro-batch in a step of this stage.
void check_batch_split(const StageSection& stage, const Mesh& mesh);

/// Sums gradients over ranks, bucket by bucket, while backward still computes those of earlier layers. With sharded
/// state each rank gets the sums of its share alone, updates it, and all bring together the new weights.
class DataParallel {
 public:
  /// All must outlive it.
  DataParallel(RunMemory& memory, Communicator& communicator, Backend& backend);

  /// A step's sums begin with the gradients that `pass` announces from here on, on `stream`; until finish_reductions().
  void watch(const Stream& stream, Pass& pass);
  /// Sums what is left, and loss and stop votes. What `stream` is given next waits for all of it.
  void finish_reductions(const Stream& stream, Pass& pass);
  /// The norm of the summed gradient, the update, and the weights of all shares.
  void update_weights(const Stream& stream, double learning_rate);

  /// The float32 weights of all shares, over the gradients: for saving, where no rank has them all.
  void gather_master_weights(const Stream& stream);

  Communicator& communicator() { return communicator_; }

 private:
  void ready(const Stream& stream, int64_t layer);
  void sharded_gradient_norm(const Stream& stream);

  RunMemory& memory_;
  Communicator& communicator_;
  Backend& backend_;
  size_t next_bucket_ = 0;
};

}  // namespace lighthouse
