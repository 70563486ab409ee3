// From shards to batches: windows in a shuffled order, split among ranks, resumable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lighthouse/core/random.h"
#include "lighthouse/data/shard.h"

namespace lighthouse {

/// Where tokens come from: files by pattern, and how often relative to other sources.
struct DataSource {
  std::string path;
  double weight = 1;

  friend bool operator==(const DataSource&, const DataSource&) = default;
};

/// What windows of N+1 tokens leave of shards.
struct WindowUse {
  int64_t files = 0;
  int64_t unused_files = 0;  // too short for a window
  int64_t tokens = 0;
  int64_t unused_tokens = 0;  // in no window: those of such files, and what is left at a shard's end
  int64_t windows = 0;
};

/// Of shards of these many tokens.
WindowUse window_use(std::span<const int64_t> shards, int64_t sequence_length);

/// One source cut into windows of N+1 tokens with stride N, never across shards: window w of a shard begins at w N.
/// The last token of a window is the first of the next, so every token but each shard's first is a target at most once.
class WindowedSource {
 public:
  /// Up to this many bytes of shards are scanned for tokens outside the vocabulary at opening; larger sources are
  /// checked window by window alone, so that a terabyte need not be read before the first step.
  static constexpr int64_t kScanAtOpening = int64_t{1} << 30;

  /// Throws InputError if no shard is as long as one window, or if a token is outside the vocabulary. Shards shorter
  /// than a window, and what is left at a shard's end, are not used.
  WindowedSource(const std::string& pattern, int64_t sequence_length, int64_t vocab_size);

  int64_t windows() const { return windows_; }
  int64_t tokens() const { return tokens_; }
  /// Window `index` in the order of the files; `out` has N+1 places. Throws InputError if a token is outside the
  /// vocabulary.
  void read(int64_t index, std::span<int32_t> out) const;

 private:
  std::vector<TokenShard> shards_;
  std::vector<int64_t> first_window_;  // of each shard
  int64_t sequence_length_;
  int64_t vocab_size_;
  int64_t windows_ = 0;
  int64_t tokens_ = 0;
};

/// How far a loader has come: part of a checkpoint. It counts tokens, so that it keeps its meaning when a later stage
/// changes the sequence length.
struct LoaderPosition {
  std::vector<int64_t> tokens;  // drawn so far from each source
  std::vector<int64_t> mixed;   // of these, since the weights came into force: what they are held against

  friend bool operator==(const LoaderPosition&, const LoaderPosition&) = default;
};

/// Draws sequences: which source comes next follows from the weights alone (the source that is furthest behind its
/// share: lowest (tokens drawn under these weights + one window) / weight, ties to the first), which window of it from
/// the seed: each epoch is a new permutation of the source's windows. The sequence of draws is the same whatever the
/// number of ranks. After a change of sequence length a source goes on where (tokens drawn) / N windows would have
/// brought it.
class Loader {
 public:
  /// Throws InputError if there is no source, if a weight is not positive and finite, and for WindowedSource's reasons.
  Loader(const std::vector<DataSource>& sources, int64_t sequence_length, int64_t vocab_size, uint64_t seed);

  /// Fills `tokens` [sequences, N+1] with this rank's share of the next `global` sequences: those from
  /// `first` to `first + sequences`; every rank moves on by `global`. If it throws, the position stays.
  void next(int64_t global, int64_t first, int64_t sequences, std::span<int32_t> tokens);

  LoaderPosition position() const { return position_; }
  /// Throws InputError if the position has another number of sources or a negative number of tokens.
  void seek(const LoaderPosition& position);

 private:
  size_t next_source(const LoaderPosition& position) const;
  void read_window(size_t source, int64_t drawn, std::span<int32_t> out) const;

  std::vector<WindowedSource> sources_;
  std::vector<double> weights_;
  int64_t sequence_length_;
  uint64_t seed_;
  LoaderPosition position_;
};

}  // namespace lighthouse
