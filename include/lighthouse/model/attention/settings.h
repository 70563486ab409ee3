// How the layers of a model attend: each layer's kind of attention in each kind of step, and the settings of the kinds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lighthouse/ops/lighthouse_shape.h"

namespace lighthouse {

/// The attention of a step or of a layer. A layer of a Lighthouse step may be of any kind.
enum class AttentionKind : uint8_t { kDense, kWindow, kLighthouse };
enum class Scorer : uint8_t { kNorm, kDilated };

/// As in a config: "dense", "window", "lighthouse"; "norm", "dilated".
std::string_view name_of(AttentionKind kind);
std::string_view name_of(Scorer scorer);
/// The kind of that name. Throws InputError if there is none.
AttentionKind attention_kind_of(std::string_view name);

/// How one layer attends.
struct LayerAttention {
  AttentionKind kind = AttentionKind::kDense;
  int64_t window = 0;  // kWindow: its width; kLighthouse: the width of the window beside, 0: none; kDense: 0

  friend bool operator==(const LayerAttention&, const LayerAttention&) = default;
};

/// "dense", "window 1024", "lighthouse", "lighthouse + window 256"
std::string describe(const LayerAttention& layer);

/// The paper's: the first two and the last two layers.
std::vector<int64_t> paper_dense_layers();

/// The specification's settings, under its names, and which layers of a Lighthouse step are of another kind.
struct LighthouseSettings {
  int64_t levels = 3;
  int64_t pooling_factor = 4;
  int64_t top_k = 1536;
  int64_t tile = 128;
  Scorer scorer = Scorer::kNorm;
  int64_t dilation = 4;
  bool cover_prefix = true;
  int64_t window = 0;  // width of the window beside each Lighthouse layer; 0: none
  std::vector<int64_t> dense_layers = paper_dense_layers();  // negative: from the end
  std::vector<int64_t> window_layers;                        // window alone; likewise
  int64_t window_every = 0;  // layers 0, n, 2 n, ... attend in a window alone too, unless they are dense

  LighthouseShape shape(int64_t sequence_length) const;

  friend bool operator==(const LighthouseSettings&, const LighthouseSettings&) = default;
};

/// The section `attention` of a config.
struct AttentionSettings {
  int64_t window = 0;  // width of the layers that attend in a window alone; 0: not set
  LighthouseSettings lighthouse;

  /// Throws InputError if a step of kind `step` is impossible: at this sequence length, in a model of so many layers,
  /// or because a setting that it needs is missing or contradicts another.
  void check(AttentionKind step, int64_t sequence_length, int64_t num_layers) const;

  friend bool operator==(const AttentionSettings&, const AttentionSettings&) = default;
};

/// The layer that `layer` names: counted from the end if negative. -1 if there is none.
int64_t layer_index(int64_t layer, int64_t num_layers);

/// The attention of every layer in a step of the given kind, in a model whose layers have no window of their own.
std::vector<LayerAttention> attention_of_layers(AttentionKind step, const AttentionSettings& settings,
                                                int64_t num_layers);

}  // namespace lighthouse
