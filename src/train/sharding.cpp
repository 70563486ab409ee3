#include "lighthouse/train/sharding.h"

#include <algorithm>
#include <limits>

#include "lighthouse/core/arena.h"
#include "lighthouse/dist/partition.h"
#include "lighthouse/model/parameters.h"

namespace lighthouse {
namespace {

/// Places in the flat vector.
struct Places {
  explicit Places(const ModelConfig& model) : specs(parameter_specs(model)) {
    Arena measuring;
    const Parameters p = lay_out_parameters(measuring, MemoryUse::kGradients, model);
    total = p.flat.numel();
    matrices = p.matrices.numel();
  }

  /// The layer at whose announcement a stretch of matrices is complete.
  int64_t layer_of(int64_t begin, int64_t end) const {
    int64_t layer = std::numeric_limits<int64_t>::max();
    for (const ParameterSpec& spec : specs) {
      if (spec.begin < end && spec.end > begin) layer = std::min(layer, spec.layer);
    }
    return layer;
  }

  std::vector<ParameterSpec> specs;
  int64_t total = 0;
  int64_t matrices = 0;
};

void add(OptimizerShard& shard, int64_t begin, int64_t end, bool decays) {
  if (begin == end) return;
  shard.ranges.push_back({begin, end, shard.numel, decays});
  shard.numel += (end - begin + kShardAlignment - 1) / kShardAlignment * kShardAlignment;
}

}  // namespace

std::vector<Bucket> plan_buckets(const ModelConfig& model, double bytes, int ranks) {
  const Places places(model);
  const int64_t unit = kShardAlignment * ranks;
  const auto wanted = static_cast<int64_t>(bytes / size_of(DType::kFloat32));
  const int64_t size = std::max<int64_t>(1, wanted / unit) * unit;
  std::vector<Bucket> buckets;
  for (int64_t end = places.matrices; end > 0;) {
    const int64_t begin = std::max<int64_t>(0, (end - size + unit - 1) / unit * unit);
    buckets.push_back({begin, end, true, places.layer_of(begin, end)});
    end = begin;
  }
  for (int64_t begin = places.matrices; begin < places.total; begin += size) {
    buckets.push_back({begin, std::min(begin + size, places.total), false, -1});
  }
  return buckets;
}

OptimizerShard unsharded(const ModelConfig& model) {
  const Places places(model);
  OptimizerShard all;
  add(all, 0, places.matrices, true);
  add(all, places.matrices, places.total, false);
  return all;
}

OptimizerShard shard_of_buckets(const std::vector<Bucket>& buckets, int ranks, int rank) {
  OptimizerShard share;
  share.everything = false;
  for (const Bucket& bucket : buckets) {
    const IndexRange piece = shard_range(bucket.size(), ranks, rank);
    add(share, bucket.begin + piece.begin, bucket.begin + piece.end, bucket.decays);
  }
  return share;
}

OptimizerShard contiguous_shard(const ModelConfig& model, int ranks, int rank) {
  const IndexRange piece = shard_range(Places(model).total, ranks, rank);
  OptimizerShard share;
  share.everything = false;
  add(share, piece.begin, piece.end, true);
  return share;
}

}  // namespace lighthouse
