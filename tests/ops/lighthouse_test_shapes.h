// Valid Lighthouse settings drawn at random, small enough for brute force.
#pragma once

#include <random>

#include "op_test.h"

namespace lighthouse {

struct LighthouseCase {
  LighthouseShape shape;
  int64_t batch, groups, group;  // group: query heads a key/value head serves
};

inline LighthouseCase random_lighthouse_case(uint32_t seed) {
  std::mt19937 random(seed);
  const auto draw = [&](int low, int high) { return low + static_cast<int64_t>(random() % (high - low + 1)); };
  LighthouseCase result;
  LighthouseShape& s = result.shape;
  s.levels = draw(2, 4);
  s.pooling_factor = draw(2, s.levels == 4 ? 3 : 4);
  s.tile = 2 * draw(1, 4);
  const int64_t tiles = draw(1, 4);
  s.top_k = tiles * s.tile;
  const int64_t share = s.tile + draw(0, 6);
  s.sequence_length = share * tiles * s.span(s.levels - 1);
  s.cover_prefix = draw(0, 1) == 1;
  result.batch = draw(1, 2);
  result.groups = draw(1, 2);
  result.group = draw(1, 3);
  s.check();
  return result;
}

/// A selection with its own memory.
struct Selected {
  explicit Selected(const LighthouseCase& c) : Selected(c.shape, c.batch, c.groups) {}
  Selected(const LighthouseShape& shape, int64_t batch, int64_t groups)
      : indices({batch, groups, shape.gathered()}), rows({batch, groups, shape.all_entries()}) {}

  operator LighthouseSelection() const { return {indices, rows}; }  // NOLINT(google-explicit-constructor)

  Ints indices, rows;
};

/// Scores with many ties, and some NaN.
inline Floats tied_scores(const Shape& shape, uint32_t seed) {
  Floats scores(shape);
  std::mt19937 random(seed);
  for (float& score : scores.values) {
    score = random() % 20 == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(random() % 6);
  }
  return scores;
}

}  // namespace lighthouse
