#include "lighthouse/model/attention/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

/// An entry of the coarsest level, p^(L-1) tokens, must fit into the sequence. Checked before anything computes that
/// power, which may be too large for 64 bits.
void check_span(const LighthouseSettings& settings, int64_t sequence_length) {
  int64_t span = 1;
  for (int64_t level = 1; level < settings.levels; ++level) {
    if (settings.pooling_factor < 2) return;  // LighthouseShape::check() says what is wrong
    if (span > sequence_length / settings.pooling_factor) {
      throw InputError(
          fmt::format("levels {} with pooling_factor {} needs entries of more tokens than the sequence length, {}; {}",
                      settings.levels, settings.pooling_factor, sequence_length,
                      level < 2 ? "use a smaller pooling_factor" : fmt::format("at most levels {} works", level)));
    }
    span *= settings.pooling_factor;
  }
}

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
  check_span(*this, sequence_length);
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
