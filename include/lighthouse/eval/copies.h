// The copy test: how much less does a passage cost a model if the same passage occurred d tokens earlier? The gain
// shows how far back a model attends; the loss of ordinary text by position hardly does.
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
  int64_t windows = 32;            // at most; a shorter source gives fewer
  uint64_t seed = 42;              // of the choice of windows

  /// The number of tokens at the start of the passage from which a model recognises the copy: 32, or half of a shorter
  /// passage.
  int64_t head() const;
  /// The largest distance at which a window of `sequence_length` + 1 tokens fits a copy; less than `passage` if no copy
  /// fits.
  int64_t farthest(int64_t sequence_length) const;
  /// Throws InputError for values out of range, and for distances at which the copy would overlap the passage or begin
  /// before the window.
  void check(int64_t sequence_length) const;
};

/// 1,024, 2,048, 4,096, ... while the copy fits, and the largest multiple of 1,024 that fits. Empty if none fits.
std::vector<int64_t> default_distances(int64_t sequence_length, int64_t passage);

/// Copies the last `passage` tokens of `window` over the tokens `distance` before them. Requires passage <= distance <=
/// window.size() - passage.
void plant_copy(std::span<int32_t> window, int64_t passage, int64_t distance);

/// Mean losses of the same tokens, in nats per token.
struct CopyGain {
  Estimate without;  // of the original window
  Estimate with;     // of the window after plant_copy
  Estimate gain;     // without - with, for each window
};

struct CopyCell {
  int64_t distance = 0;
  CopyGain passage;
  CopyGain head;  // CopyOptions::head() tokens
  CopyGain rest;  // the tokens after the head
};

struct CopyLosses {
  int64_t windows = 0;          // number of windows in the means
  std::vector<CopyCell> cells;  // in the order of CopyOptions::distances
};

/// Runs the copy test: the last tokens of each window are the passage. The model reads each window without a copy, then
/// with a copy at each distance. `pass` must have the source's sequence length; its batch size may be any. `progress`
/// is called with the number of windows read and their total, and may throw to stop the test. Throws InputError for the
/// reasons of CopyOptions::check(), and RunError if a loss is not finite.
CopyLosses test_copies(const CopyOptions& options, ForwardPass& pass, const Parameters& weights,
                       const WindowedSource& source, Backend& backend,
                       const std::function<void(int64_t done, int64_t of)>& progress);

}  // namespace lighthouse
