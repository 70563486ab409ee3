// The sizes of a Lighthouse Attention pyramid: its entries, their numbers, and how many are gathered.
#pragma once

#include <cstdint>
#include <string>

namespace lighthouse {

/// The settings that determine the shape of a selection, and the sizes that follow (docs/lighthouse-attention.md,
/// section 2).
/// Entry (l, i) covers tokens [i p^l, (i+1) p^l - 1]. Entries are numbered level by level, finest first:
/// (l, i) is number offset(l) + i.
struct LighthouseShape {
  int64_t sequence_length = 0;  // N
  int64_t levels = 3;           // L, level 0 is the tokens
  int64_t pooling_factor = 4;   // p
  int64_t top_k = 1536;         // k, entries expanded at each level above 0
  int64_t tile = 128;           // entries expanded by one tile
  bool cover_prefix = true;

  /// p^level: tokens under one entry.
  int64_t span(int64_t level) const;
  /// N / p^level: entries of a level.
  int64_t entries(int64_t level) const { return sequence_length / span(level); }
  /// The number of entry (level, 0).
  int64_t offset(int64_t level) const;
  /// Entries of all levels.
  int64_t all_entries() const { return offset(levels); }
  /// Entries above level 0, which have scores.
  int64_t scored_entries() const { return all_entries() - sequence_length; }
  /// k / tile: independent parts of the sequence.
  int64_t tiles() const { return top_k / tile; }
  /// S = N / p^(L-1) + (L-1) p k.
  int64_t gathered() const { return entries(levels - 1) + (levels - 1) * pooling_factor * top_k; }
  /// S / tiles: every tile gathers equally many.
  int64_t gathered_per_tile() const { return gathered() / tiles(); }

  /// Throws InputError unless the settings are valid (spec, section 2). The message names the rule, the value, and the
  /// nearest sequence length and top_k that satisfy all rules.
  void check() const;
  /// A description of the first violated rule, or "" if the settings are valid.
  std::string broken_rule() const;

  friend bool operator==(const LighthouseShape&, const LighthouseShape&) = default;
};

}  // namespace lighthouse
