// The wavelengths of rotary position embedding, and the scaling that long-context models apply to them.
#pragma once

#include <cstdint>
#include <numbers>

namespace lighthouse {

enum class RopeScalingKind : uint8_t { kNone, kLinear, kLlama3 };

/// How the frequencies of a model that was trained on shorter sequences are scaled. The names are Hugging Face's.
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double factor = 8;                                // factor of the wavelengths
  double low_freq_factor = 1;                       // llama3: wavelengths above original / this are scaled fully
  double high_freq_factor = 4;                      // llama3: wavelengths below original / this are kept
  int64_t original_max_position_embeddings = 8192;  // llama3: sequence length of the original training

  friend bool operator==(const RopeScaling&, const RopeScaling&) = default;
};

/// Settings of rope_table. A number converts to a theta without scaling.
struct RopeSettings {
  constexpr RopeSettings(double base = 10000) : theta(base) {}
  constexpr RopeSettings(double base, const RopeScaling& how) : theta(base), scaling(how) {}

  double theta;
  RopeScaling scaling;

  friend bool operator==(const RopeSettings&, const RopeSettings&) = default;
};

/// `frequency` (radians per position) after scaling. linear: divided by factor (Chen et al., 2023). llama3: long
/// wavelengths are divided by factor, short ones are kept, and those between are interpolated in the number of periods
/// in the original length ("The Llama 3 Herd of Models", 2024; the formula is that of the published code).
constexpr double scaled_frequency(double frequency, const RopeScaling& scaling) {
  if (scaling.kind == RopeScalingKind::kNone) return frequency;
  const double stretched = frequency / scaling.factor;
  if (scaling.kind == RopeScalingKind::kLinear) return stretched;
  const double periods =
      static_cast<double>(scaling.original_max_position_embeddings) * frequency / (2 * std::numbers::pi);
  if (periods < scaling.low_freq_factor) return stretched;
  if (periods > scaling.high_freq_factor) return frequency;
  const double kept = (periods - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - kept) * stretched + kept * frequency;
}

}  // namespace lighthouse
