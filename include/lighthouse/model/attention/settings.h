// The kind of attention of each layer in each kind of step, and the settings of the kinds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lighthouse/ops/lighthouse_shape.h"

namespace lighthouse {

/// The kind of attention of a step or of a layer. A layer in a Lighthouse step may be of any kind.
enum class AttentionKind : uint8_t { kDense, kWindow, kLighthouse };
enum class Scorer : uint8_t { kNorm, kDilated };

/// The name in a config: "dense", "window", "lighthouse"; "norm", "dilated".
std::string_view name_of(AttentionKind kind);
std::string_view name_of(Scorer scorer);
/// The kind of that name. Throws InputError if there is none.
AttentionKind attention_kind_of(std::string_view name);

/// The attention of one layer.
struct LayerAttention {
  AttentionKind kind = AttentionKind::kDense;
  int64_t window = 0;  // kWindow: its width; kLighthouse: the width of its sliding window, 0: none; kDense: 0

  friend bool operator==(const LayerAttention&, const LayerAttention&) = default;
};

/// "dense", "window 1024", "lighthouse", "lighthouse + window 256"
std::string describe(const LayerAttention& layer);

/// The dense layers of the paper: the first two and the last two.
std::vector<int64_t> paper_dense_layers();

/// The settings of the specification, under its names, and the layers of a Lighthouse step that are of another kind.
struct LighthouseSettings {
  int64_t levels = 3;
  int64_t pooling_factor = 4;
  int64_t top_k = 1536;
  int64_t tile = 128;
  Scorer scorer = Scorer::kNorm;
  int64_t dilation = 4;
  bool cover_prefix = true;
  int64_t window = 0;  // width of the sliding window in each Lighthouse layer; 0: none
  std::vector<int64_t> dense_layers = paper_dense_layers();  // negative: from the end
  std::vector<int64_t> window_layers;                        // layers of kind kWindow; likewise
  int64_t window_every = 0;  // layers 0, n, 2 n, ... are kWindow too, unless they are dense

  LighthouseShape shape(int64_t sequence_length) const;

  friend bool operator==(const LighthouseSettings&, const LighthouseSettings&) = default;
};

/// The section `attention` of a config.
struct AttentionSettings {
  int64_t window = 0;  // width of layers of kind kWindow; 0: not set
  LighthouseSettings lighthouse;

  /// Throws InputError if a step of kind `step` is impossible: at this sequence length, with this number of layers, or
  /// because a setting is missing or contradicts another.
  void check(AttentionKind step, int64_t sequence_length, int64_t num_layers) const;

  friend bool operator==(const AttentionSettings&, const AttentionSettings&) = default;
};

/// The index of a layer, which counts from the end if negative. -1 if there is no such layer.
int64_t layer_index(int64_t layer, int64_t num_layers);

/// The attention of every layer in a step of the given kind, in a model without sliding_window.
std::vector<LayerAttention> attention_of_layers(AttentionKind step, const AttentionSettings& settings,
                                                int64_t num_layers);

}  // namespace lighthouse
