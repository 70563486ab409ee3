// The wavelengths of rotary position embedding, and how long-context models stretch them.
#pragma once

#include <cstdint>
#include <numbers>

namespace lighthouse {

enum class RopeScalingKind : uint8_t { kNone, kLinear, kLlama3 };

/// How the frequencies of a model that was trained on shorter sequences are changed, under Hugging Face's names.
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double factor = 8;                                // by which wavelengths grow
  double low_freq_factor = 1;                       // llama3: wavelengths above original / this are stretched in full
  double high_freq_factor = 4;                      // llama3: those below original / this stay
  int64_t original_max_position_embeddings = 8192;  // llama3: the length of the original training

  friend bool operator==(const RopeScaling&, const RopeScaling&) = default;
};

/// Of a table of rotations. A number alone is a theta without scaling.
struct RopeSettings {
  constexpr RopeSettings(double base = 10000) : theta(base) {}
  constexpr RopeSettings(double base, const RopeScaling& how) : theta(base), scaling(how) {}

  double theta;
  RopeScaling scaling;

  friend bool operator==(const RopeSettings&, const RopeSettings&) = default;
};

/// The frequency (radians a position) that `frequency` becomes. linear: divided by factor (Chen et al., 2023). llama3:
/// long wavelengths are divided, short ones stay, and those between go from one to the other in the number of periods
/// that the original length held ("The Llama 3 Herd of Models", 2024; the formula is the one of its published code).
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
