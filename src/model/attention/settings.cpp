#include "lighthouse/model/attention/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

void check_dilation(const LighthouseSettings& settings, int64_t sequence_length) {
  const int64_t d = settings.dilation;
  if (settings.scorer != Scorer::kDilated) return;
  if (d < 1) throw InputError(fmt::format("dilation is {}; expected at least 1", d));
  if (sequence_length % d == 0) return;
  int64_t nearest = std::min(d, sequence_length);
  while (sequence_length % nearest != 0) --nearest;
  throw InputError(fmt::format("dilation {} does not divide the sequence length, {}; the nearest below that does is {}",
                               d, sequence_length, nearest));
}

}  // namespace

std::string_view name_of(AttentionKind kind) {
  return kind == AttentionKind::kDense ? "dense" : "lighthouse";
}

std::string_view name_of(Scorer scorer) {
  return scorer == Scorer::kNorm ? "norm" : "dilated";
}

LighthouseShape LighthouseSettings::shape(int64_t sequence_length) const {
  LighthouseShape shape;
  shape.sequence_length = sequence_length;
  shape.levels = levels;
  shape.pooling_factor = pooling_factor;
  shape.top_k = top_k;
  shape.tile = tile;
  shape.cover_prefix = cover_prefix;
  return shape;
}

void LighthouseSettings::check(int64_t sequence_length, int64_t num_layers) const {
  shape(sequence_length).check();
  check_dilation(*this, sequence_length);
  for (int64_t layer : dense_layers) {
    if (layer >= -num_layers && layer < num_layers) continue;
    throw InputError(
        fmt::format("dense_layers names layer {}, but the model has {} layers: {} to {}, or {} to -1 from "
                    "the end",
                    layer, num_layers, 0, num_layers - 1, -num_layers));
  }
}

std::vector<AttentionKind> attention_of_layers(AttentionKind step, const LighthouseSettings& settings,
                                               int64_t num_layers) {
  std::vector<AttentionKind> kinds(static_cast<size_t>(num_layers), step);
  for (int64_t layer : settings.dense_layers) {
    const int64_t from_start = layer < 0 ? num_layers + layer : layer;
    if (from_start >= 0 && from_start < num_layers) kinds[static_cast<size_t>(from_start)] = AttentionKind::kDense;
  }
  return kinds;
}

}  // namespace lighthouse
