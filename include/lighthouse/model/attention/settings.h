// Which attention each layer uses, and how Lighthouse Attention is set.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lighthouse/ops/lighthouse_shape.h"

namespace lighthouse {

enum class AttentionKind : uint8_t { kDense, kLighthouse };
enum class Scorer : uint8_t { kNorm, kDilated };

/// As in a config: "dense", "lighthouse"; "norm", "dilated".
std::string_view name_of(AttentionKind kind);
std::string_view name_of(Scorer scorer);

/// The spec's settings, under its names.
struct LighthouseSettings {
  int64_t levels = 3;
  int64_t pooling_factor = 4;
  int64_t top_k = 1536;
  int64_t tile = 128;
  Scorer scorer = Scorer::kNorm;
  int64_t dilation = 4;
  bool cover_prefix = true;
  std::vector<int64_t> dense_layers = {0, 1, -2, -1};  // negative: from the end

  LighthouseShape shape(int64_t sequence_length) const;
  /// Throws InputError if the settings are impossible at this sequence length, or if a dense layer does not exist.
  void check(int64_t sequence_length, int64_t num_layers) const;

  friend bool operator==(const LighthouseSettings&, const LighthouseSettings&) = default;
};

/// The attention of every layer in a step of the given kind: in a Lighthouse step the dense layers stay dense.
std::vector<AttentionKind> attention_of_layers(AttentionKind step, const LighthouseSettings& settings,
                                               int64_t num_layers);

}  // namespace lighthouse
