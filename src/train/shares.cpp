#include "lighthouse/train/shares.h"

#include <algorithm>

#include "lighthouse/core/arena.h"
#include "lighthouse/dist/partition.h"
#include "lighthouse/model/parameters.h"

namespace lighthouse {
namespace {

/// Places in the flat vector.
struct Places {
  explicit Places(const ModelConfig& model) {
    Arena measuring;
    const Parameters p = lay_out_parameters(measuring, MemoryUse::kGradients, model);
    total = p.flat.numel();
    matrices = p.matrices.numel();
    const auto aligned = [](int64_t numel) { return (numel + kAligned - 1) / kAligned * kAligned; };
    int64_t at = aligned(p.embed_tokens.numel());
    for (const LayerParameters& layer : p.layers) {
      layers.push_back(at);
      for (const Tensor* tensor : {&layer.qkv, &layer.o_proj, &layer.gate_up, &layer.down_proj}) {
        at += aligned(tensor->numel());
      }
    }
    layers.push_back(at);  // of lm_head, if it has one of its own
  }

  /// The layer whose announcement completes a stretch of matrices that begins here.
  int64_t layer_at(int64_t place) const {
    return std::upper_bound(layers.begin(), layers.end(), place) - layers.begin() - 1;
  }

  static constexpr int64_t kAligned = Arena::kAlignment / size_of(DType::kBFloat16);  // as in parameters.cpp
  int64_t total = 0;
  int64_t matrices = 0;
  std::vector<int64_t> layers;
};

void add(Holding& holding, int64_t begin, int64_t end, bool decays) {
  if (begin == end) return;
  holding.ranges.push_back({begin, end, holding.numel, decays});
  holding.numel += (end - begin + kPieceUnit - 1) / kPieceUnit * kPieceUnit;
}

}  // namespace

std::vector<Bucket> plan_buckets(const ModelConfig& model, double bytes, int ranks) {
  const Places places(model);
  const int64_t unit = kPieceUnit * ranks;
  const auto wanted = static_cast<int64_t>(bytes / size_of(DType::kFloat32));
  const int64_t size = std::max<int64_t>(1, wanted / unit) * unit;
  std::vector<Bucket> buckets;
  for (int64_t end = places.matrices; end > 0;) {
    const int64_t begin = std::max<int64_t>(0, (end - size + unit - 1) / unit * unit);
    buckets.push_back({begin, end, true, places.layer_at(begin)});
    end = begin;
  }
  for (int64_t begin = places.matrices; begin < places.total; begin += size) {
    buckets.push_back({begin, std::min(begin + size, places.total), false, -1});
  }
  return buckets;
}

Holding hold_all(const ModelConfig& model) {
  const Places places(model);
  Holding all;
  add(all, 0, places.matrices, true);
  add(all, places.matrices, places.total, false);
  return all;
}

Holding hold_share(const std::vector<Bucket>& buckets, int ranks, int rank) {
  Holding share;
  share.everything = false;
  for (const Bucket& bucket : buckets) {
    const Piece piece = piece_of(bucket.size(), ranks, rank);
    add(share, bucket.begin + piece.begin, bucket.begin + piece.end, bucket.decays);
  }
  return share;
}

Holding hold_piece(const ModelConfig& model, int ranks, int rank) {
  const Piece piece = piece_of(Places(model).total, ranks, rank);
  Holding share;
  share.everything = false;
  add(share, piece.begin, piece.end, true);
  return share;
}

}  // namespace lighthouse
