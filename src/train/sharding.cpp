#include "lighthouse/train/sharding.h"

#include <algorithm>
#include <limits>

#include "lighthouse/core/units.h"
#include "lighthouse/model/parameters.h"

namespace lighthouse {
namespace {

/// Where the parameters lie in the flat vector.
struct FlatLayout {
  explicit FlatLayout(const ModelConfig& model) : specs(parameter_specs(model)) {
    for (const ParameterSpec& spec : specs) {
      total = std::max(total, spec.end);
      if (spec.weight_decay) matrices = std::max(matrices, spec.end);
    }
  }

  /// The layer at whose announcement the gradients of a stretch of matrices are complete.
  int64_t layer_of(int64_t begin, int64_t end) const {
    int64_t layer = std::numeric_limits<int64_t>::max();
    for (const ParameterSpec& spec : specs) {
      if (spec.begin < end && spec.end > begin) layer = std::min(layer, spec.layer);
    }
    return layer;
  }

  std::vector<ParameterSpec> specs;
  int64_t total = 0;
  int64_t matrices = 0;  // the end of the matrices; the vectors follow
};

/// Appends a stretch behind those that the shard's tensor holds already.
void append(OptimizerShard& shard, int64_t begin, int64_t end, bool decays) {
  if (begin >= end) return;
  shard.ranges.push_back({begin, end, shard.numel, decays});
  shard.numel += (end - begin + kShardAlignment - 1) / kShardAlignment * kShardAlignment;
}

int64_t elements_of(const OptimizerShard& shard) {
  int64_t elements = 0;
  for (const ShardRange& range : shard.ranges) elements += range.size();
  return elements;
}

bool is_same_layout(const OptimizerShard& a, const OptimizerShard& b) {
  const auto same = [](const ShardRange& x, const ShardRange& y) {
    return x.begin == y.begin && x.end == y.end && x.at == y.at;
  };
  return a.numel == b.numel && std::equal(a.ranges.begin(), a.ranges.end(), b.ranges.begin(), b.ranges.end(), same);
}

}  // namespace

std::vector<Bucket> plan_buckets(const ModelConfig& model, double bytes, int ranks) {
  const FlatLayout layout(model);
  const int64_t unit = kShardAlignment * ranks;
  const auto wanted = static_cast<int64_t>(bytes / size_of(DType::kFloat32));
  const int64_t size = std::max<int64_t>(1, wanted / unit) * unit;
  std::vector<Bucket> buckets;
  for (int64_t end = layout.matrices; end > 0;) {
    const int64_t begin = std::max<int64_t>(0, (end - size + unit - 1) / unit * unit);
    buckets.push_back({begin, end, true, layout.layer_of(begin, end)});
    end = begin;
  }
  for (int64_t begin = layout.matrices; begin < layout.total; begin += size) {
    buckets.push_back({begin, std::min(begin + size, layout.total), false, -1});
  }
  return buckets;
}

std::vector<Bucket> buckets_of(const RunConfig& config, const Mesh& mesh) {
  return plan_buckets(config.model, static_cast<double>(kMebibyte) * config.distributed.bucket, mesh.data_size());
}

OptimizerShard unsharded(const ModelConfig& model) {
  const FlatLayout layout(model);
  OptimizerShard shard;
  append(shard, 0, layout.matrices, true);
  append(shard, layout.matrices, layout.total, false);
  return shard;
}

OptimizerShard shard_of_buckets(const std::vector<Bucket>& buckets, int ranks, int rank) {
  OptimizerShard shard;
  shard.everything = false;
  for (const Bucket& bucket : buckets) {
    const IndexRange piece = shard_range(bucket.size(), ranks, rank);
    append(shard, bucket.begin + piece.begin, bucket.begin + piece.end, bucket.decays);
  }
  return shard;
}

OptimizerShard contiguous_shard(const ModelConfig& model, int ranks, int rank) {
  const IndexRange piece = shard_range(FlatLayout(model).total, ranks, rank);
  OptimizerShard shard;
  shard.everything = false;
  append(shard, piece.begin, piece.end, true);
  return shard;
}

OptimizerShard packed_within(const OptimizerShard& shard, const std::vector<IndexRange>& stretches) {
  OptimizerShard part;
  part.everything = false;
  for (const ShardRange& range : shard.ranges) {
    for (const IndexRange& stretch : stretches) {
      append(part, std::max(range.begin, stretch.begin), std::min(range.end, stretch.end), range.decays);
    }
  }
  return elements_of(part) == elements_of(shard) ? shard : part;
}

OptimizerShard common_part(const OptimizerShard& shard, const OptimizerShard& other) {
  OptimizerShard part;
  part.everything = false;
  part.numel = shard.numel;
  for (const ShardOverlap& common : overlaps(shard, other)) {
    part.ranges.push_back({common.begin, common.end, common.at_first, common.decays});
  }
  return elements_of(part) == elements_of(shard) ? shard : part;
}

std::vector<ShardOverlap> overlaps(const OptimizerShard& first, const OptimizerShard& second) {
  std::vector<ShardOverlap> common;
  for (const ShardRange& a : first.ranges) {
    for (const ShardRange& b : second.ranges) {
      const int64_t begin = std::max(a.begin, b.begin);
      const int64_t end = std::min(a.end, b.end);
      if (begin < end) common.push_back({begin, end, a.at + begin - a.begin, b.at + begin - b.begin, a.decays});
    }
  }
  return common;
}

void copy_shard(Backend& backend, const Stream& stream, const Tensor& to, const OptimizerShard& to_shard,
                const Tensor& from, const OptimizerShard& from_shard) {
  if (is_same_layout(to_shard, from_shard)) return backend.copy(stream, to, from);
  for (const ShardOverlap& common : overlaps(to_shard, from_shard)) {
    backend.copy(stream, to.slice(0, common.at_first, common.at_first + common.size()),
                 from.slice(0, common.at_second, common.at_second + common.size()));
  }
}

}  // namespace lighthouse
