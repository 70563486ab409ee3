// The copy test: does a passage cost a model less where the same passage stood d tokens earlier? A model attends as far
// back as this gain reaches; the loss of ordinary text by position hardly shows it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "lighthouse/data/loader.h"
#include "lighthouse/eval/forward_pass.h"
#include "lighthouse/eval/running_mean.h"

namespace lighthouse {

struct CopyOptions {
  int64_t passage = 512;           // tokens, at least 2
  std::vector<int64_t> distances;  // tokens from the start of the copy to the start of the passage
  int64_t windows = 32;            // as many as the source has if it has fewer
  uint64_t seed = 42;              // chooses the windows

  /// The first tokens of the passage, by which a model recognises the copy: 32, or half of a shorter passage.
  int64_t head() const;
  /// The farthest copy that a window of `sequence_length` + 1 tokens has space for; below `passage` if it has none.
  int64_t farthest(int64_t sequence_length) const;
  /// Throws InputError for values out of range, and for distances at which the copy would overlap the passage or begin
  /// before the window.
  void check(int64_t sequence_length) const;
};

/// 1,024, doubled as long as the copy fits, and the farthest multiple of 1,024 that fits. Empty if none fits.
std::vector<int64_t> default_distances(int64_t sequence_length, int64_t passage);

/// Copies the last `passage` tokens of `window` over those that stand `distance` tokens before them. All other tokens
/// stay. Needs passage <= distance <= window.size() - passage.
void plant_copy(std::span<int32_t> window, int64_t passage, int64_t distance);

/// Mean losses of the same tokens in the same place, in nats a token.
struct CopyGain {
  Estimate without;  // the window as it is
  Estimate with;     // after plant_copy
  Estimate gain;     // without - with, window by window
};

struct CopyCell {
  int64_t distance = 0;
  CopyGain passage;
  CopyGain head;  // CopyOptions::head() tokens
  CopyGain rest;  // those after the head
};

struct CopyLosses {
  int64_t windows = 0;          // over which the means were taken
  std::vector<CopyCell> cells;  // in the order of CopyOptions::distances
};

/// Each window of the source ends in the passage; the model reads it as it is, then with a copy planted at each
/// distance. `pass` has the source's sequence length and any batch. `progress` is given how many passes over a window
/// are done of how many, and may throw to abandon the test. Throws InputError for CopyOptions::check()'s reasons, and
/// RunError if a loss is not finite.
CopyLosses test_copies(const CopyOptions& options, ForwardPass& pass, const Parameters& weights,
                       const WindowedSource& source, Backend& backend,
                       const std::function<void(int64_t done, int64_t of)>& progress);

}  // namespace lighthouse
