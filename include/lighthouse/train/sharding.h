// Which ranks sum and keep which part of the flat vector of parameters (Parameters::flat).
#pragma once

#include <cstdint>
#include <vector>

#include "lighthouse/model/config.h"

namespace lighthouse {

/// Gradients that are summed over ranks together.
struct Bucket {
  int64_t begin = 0;
  int64_t end = 0;
  bool decays = true;  // matrices, which weight decay is for
  int64_t layer = -1;  // complete when the backward pass has announced this layer (LayerHooks::gradients_ready)
  int64_t size() const { return end - begin; }
};

/// The flat vector in buckets of about `bytes` bytes, in the order in which backward completes them: its matrices from
/// the last to the first, then its vectors. All but the last of each kind split into equal pieces for `ranks`.
std::vector<Bucket> plan_buckets(const ModelConfig& model, double bytes, int ranks);

/// A stretch of the flat vector, and its place among those that a rank holds.
struct ShardRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t at = 0;
  bool decays = true;
  int64_t size() const { return end - begin; }
};

/// The part of the optimizer's state that a rank keeps.
struct OptimizerShard {
  std::vector<ShardRange> ranges;
  int64_t numel = 0;       // of its own flat vector
  bool everything = true;  // which then is laid out like the parameters
};

/// What one rank without others holds.
OptimizerShard unsharded(const ModelConfig& model);
/// This rank's piece of each bucket.
OptimizerShard shard_of_buckets(const std::vector<Bucket>& buckets, int ranks, int rank);
/// The whole vector in `ranks` pieces, of which this is one: which part of a state that all have a rank writes.
OptimizerShard contiguous_shard(const ModelConfig& model, int ranks, int rank);

}  // namespace lighthouse
