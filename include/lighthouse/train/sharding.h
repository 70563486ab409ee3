// How the flat vector of parameters (Parameters::flat) and the optimizer's state are divided among ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/dist/partition.h"
#include "lighthouse/model/config.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// A stretch of the flat vector whose gradients are reduced over the ranks in one collective.
struct Bucket {
  int64_t begin = 0;
  int64_t end = 0;
  bool decays = true;  // weight decay applies: a stretch of matrices, not of vectors
  int64_t layer = -1;  // complete when the backward pass has announced this layer (LayerHooks::gradients_ready)
  int64_t size() const { return end - begin; }
};

/// Divides the flat vector into buckets of about `bytes` bytes of float32, in the order in which the backward pass
/// completes them: matrices from the last to the first, then vectors. All buckets but the last one of the matrices and
/// the last one of the vectors split into `ranks` equal pieces.
std::vector<Bucket> plan_buckets(const ModelConfig& model, double bytes, int ranks);

/// The buckets of a run: distributed.bucket MiB each, split among the ranks of the data dimension.
std::vector<Bucket> buckets_of(const RunConfig& config, const Mesh& mesh);

/// A stretch of the flat vector and its place in a tensor that holds a shard.
struct ShardRange {
  int64_t begin = 0;  // in the flat vector
  int64_t end = 0;
  int64_t at = 0;      // of `begin`, in the shard's tensor
  bool decays = true;  // weight decay applies
  int64_t size() const { return end - begin; }

  /// The stretch in a tensor as long as the flat vector.
  Tensor in_flat(const Tensor& flat) const { return flat.slice(0, begin, end); }
  /// The stretch in the shard's tensor.
  Tensor in_shard(const Tensor& shard) const { return shard.slice(0, at, at + size()); }
};

/// Which stretches of the flat vector a tensor holds.
struct OptimizerShard {
  std::vector<ShardRange> ranges;
  int64_t numel = 0;       // elements of the tensor, with the padding that aligns each range
  bool everything = true;  // the whole flat vector, each range at its own place
};

/// The whole vector: the matrices, then the vectors.
OptimizerShard unsharded(const ModelConfig& model);
/// This rank's piece (shard_range) of each bucket.
OptimizerShard shard_of_buckets(const std::vector<Bucket>& buckets, int ranks, int rank);
/// Piece `rank` of the whole vector cut into `ranks` pieces: what a rank writes of a state that every rank holds.
OptimizerShard contiguous_shard(const ModelConfig& model, int ranks, int rank);

/// The part of `shard` that lies in `stretches` of the flat vector (sorted, disjoint), packed into a tensor of its own.
OptimizerShard packed_within(const OptimizerShard& shard, const std::vector<IndexRange>& stretches);
/// The part of `shard` that `other` holds too, left where it lies in the tensor of `shard`.
OptimizerShard common_part(const OptimizerShard& shard, const OptimizerShard& other);

/// A stretch of the flat vector that two shards hold.
struct ShardOverlap {
  int64_t begin = 0;  // in the flat vector
  int64_t end = 0;
  int64_t at_first = 0;  // of `begin`, in the tensor of the first shard
  int64_t at_second = 0;
  bool decays = true;  // as the first shard says
  int64_t size() const { return end - begin; }
};
/// In the order of the first shard's ranges, then of the second's.
std::vector<ShardOverlap> overlaps(const OptimizerShard& first, const OptimizerShard& second);

/// Copies the elements that both shards hold from one tensor to the other, in the order of `stream`.
void copy_shard(Backend& backend, const Stream& stream, const Tensor& to, const OptimizerShard& to_shard,
                const Tensor& from, const OptimizerShard& from_shard);

}  // namespace lighthouse
