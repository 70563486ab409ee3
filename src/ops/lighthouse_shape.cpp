#include "lighthouse/ops/lighthouse_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

// Entries are numbered in int32, and there are fewer than two entries a token.
constexpr int64_t kMaxLength = int64_t{1} << 30;

std::optional<int64_t> power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0 && base != 1 && result != 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) return std::nullopt;
  }
  return result;
}

// The first violated rule about levels, pooling_factor and tile; no sequence_length or top_k can fix these.
std::string broken_pyramid_rule(const LighthouseShape& s) {
  if (s.levels < 2) return fmt::format("levels must be at least 2, but is {}", s.levels);
  if (s.pooling_factor < 2) return fmt::format("pooling_factor must be at least 2, but is {}", s.pooling_factor);
  if (s.tile < 2 || s.tile % 2 != 0) return fmt::format("tile must be even and at least 2, but is {}", s.tile);
  // The shortest valid sequence has one tile with `tile` entries of the coarsest level.
  const std::optional<int64_t> coarsest = power(s.pooling_factor, s.levels - 1);
  if (!coarsest || *coarsest > kMaxLength / s.tile) {
    return fmt::format("tile * pooling_factor^(levels-1) must be at most 2^30, but is {} * {}^{}", s.tile,
                       s.pooling_factor, s.levels - 1);
  }
  return "";
}

// The other rules, in the order of the specification. Needs a valid pyramid.
std::string broken_size_rule(const LighthouseShape& s) {
  if (s.top_k < s.tile || s.top_k % s.tile != 0) {
    return fmt::format("top_k must be a multiple of tile ({}) and at least that, but is {}", s.tile, s.top_k);
  }
  const int64_t coarsest = s.span(s.levels - 1);
  if (s.sequence_length < 1 || s.sequence_length % coarsest != 0) {
    return fmt::format("sequence_length must be a positive multiple of pooling_factor^(levels-1) = {}, but is {}",
                       coarsest, s.sequence_length);
  }
  const int64_t top = s.entries(s.levels - 1);
  if (top % s.tiles() != 0) {
    return fmt::format("sequence_length / pooling_factor^(levels-1) must be divisible by top_k / tile = {}, but is {}",
                       s.tiles(), top);
  }
  if (top / s.tiles() < s.tile) {
    return fmt::format("each tile's share of the coarsest level must be at least tile = {} entries, but is {}", s.tile,
                       top / s.tiles());
  }
  if (s.sequence_length > kMaxLength) {
    return fmt::format("sequence_length must be at most 2^30 (entries are numbered in 32 bits), but is {}",
                       s.sequence_length);
  }
  return "";
}

// The multiple of `step` within [low, high] that is nearest to `wanted`; low and high are multiples.
int64_t nearest_multiple(int64_t wanted, int64_t step, int64_t low, int64_t high) {
  wanted = std::clamp(wanted, low, high);
  const int64_t below = wanted / step * step;
  return wanted - below <= below + step - wanted ? below : below + step;
}

// The nearest sequence length with which `s` is valid, or 0 if there is none: a multiple of p^(L-1) k / tile, at least
// tile times that. Needs a valid pyramid.
int64_t nearest_length(const LighthouseShape& s) {
  int64_t step = 0, shortest = 0;
  if (s.top_k < s.tile || s.top_k % s.tile != 0 || __builtin_mul_overflow(s.span(s.levels - 1), s.tiles(), &step) ||
      __builtin_mul_overflow(step, s.tile, &shortest) || shortest > kMaxLength) {
    return 0;
  }
  return nearest_multiple(s.sequence_length, step, shortest, kMaxLength / step * step);
}

// The nearest top_k with which `s` is valid, or 0 if there is none: tile times a divisor of the coarsest level's
// entries that leaves each tile its share. Needs a valid pyramid.
int64_t nearest_top_k(LighthouseShape s) {
  const int64_t wanted = s.top_k;
  s.top_k = s.tile;
  if (!broken_size_rule(s).empty()) return 0;  // not even one tile
  const int64_t top = s.entries(s.levels - 1);
  int64_t best = 1;
  const auto distance = [&](int64_t tiles) {
    return std::abs(static_cast<double>(wanted) - static_cast<double>(tiles * s.tile));
  };
  const auto consider = [&](int64_t tiles) {
    if (top / tiles >= s.tile && distance(tiles) < distance(best)) best = tiles;
  };
  for (int64_t divisor = 1; divisor * divisor <= top; ++divisor) {  // top <= 2^30: at most 2^15 steps
    if (top % divisor != 0) continue;
    consider(divisor);
    consider(top / divisor);
  }
  return best * s.tile;
}

// Valid settings near `s`, for the case that no single change makes `s` valid.
LighthouseShape repaired(LighthouseShape s) {
  s.levels = std::clamp<int64_t>(s.levels, 2, 30);
  s.pooling_factor = std::clamp<int64_t>(s.pooling_factor, 2, kMaxLength / 2);
  s.tile = nearest_multiple(s.tile, 2, 2, kMaxLength / 2);
  const auto too_tall = [&](int64_t length) {
    const std::optional<int64_t> coarsest = power(s.pooling_factor, s.levels - 1);
    return !coarsest || *coarsest > length / s.tile;
  };
  // Prefers fewer levels to a longer sequence.
  while (s.levels > 2 && too_tall(std::clamp<int64_t>(s.sequence_length, 1, kMaxLength))) --s.levels;
  while (too_tall(kMaxLength)) s.tile = std::max<int64_t>(2, s.tile / 4 * 2);
  const int64_t most_tiles = kMaxLength / (s.span(s.levels - 1) * s.tile);
  s.top_k = nearest_multiple(s.top_k, s.tile, s.tile, most_tiles * s.tile);
  s.sequence_length = nearest_length(s);
  return s;
}

std::string nearest_valid(const LighthouseShape& s) {
  const bool pyramid_is_valid = broken_pyramid_rule(s).empty();
  const int64_t length = pyramid_is_valid ? nearest_length(s) : 0, top_k = pyramid_is_valid ? nearest_top_k(s) : 0;
  if (length != 0 && top_k != 0) {
    return fmt::format(
        "With top_k {} the nearest sequence_length that works is {}; with sequence_length {} the nearest top_k that "
        "works is {}",
        s.top_k, length, s.sequence_length, top_k);
  }
  if (length != 0) return fmt::format("With top_k {} the nearest sequence_length that works is {}", s.top_k, length);
  const LighthouseShape other = repaired(s);
  std::string text =
      fmt::format("Near it, sequence_length {} with top_k {}, levels {}, pooling_factor {}, tile {} works",
                  other.sequence_length, other.top_k, other.levels, other.pooling_factor, other.tile);
  if (top_k == 0) return text;
  return fmt::format("With sequence_length {} the nearest top_k that works is {}. {}", s.sequence_length, top_k, text);
}

}  // namespace

int64_t LighthouseShape::span(int64_t level) const {
  const std::optional<int64_t> span = power(pooling_factor, level);
  if (!span) throw InputError(fmt::format("pooling_factor^level overflows 64 bits: {}^{}", pooling_factor, level));
  return *span;
}

int64_t LighthouseShape::offset(int64_t level) const {
  int64_t total = 0;
  for (int64_t below = 0; below < level; ++below) total += entries(below);
  return total;
}

std::string LighthouseShape::broken_rule() const {
  const std::string pyramid = broken_pyramid_rule(*this);
  return pyramid.empty() ? broken_size_rule(*this) : pyramid;
}

void LighthouseShape::check() const {
  const std::string rule = broken_rule();
  if (!rule.empty()) throw InputError(fmt::format("Lighthouse Attention: {}. {}.", rule, nearest_valid(*this)));
}

}  // namespace lighthouse
