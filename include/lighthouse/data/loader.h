// Sequences for training: windows of shards in shuffled order, divided among ranks, resumable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lighthouse/core/random.h"
#include "lighthouse/core/units.h"
#include "lighthouse/data/shard.h"

namespace lighthouse {

/// A data source: a pattern of shard files, and how often sequences are drawn from it relative to other sources.
struct DataSource {
  std::string path;
  double weight = 1;

  friend bool operator==(const DataSource&, const DataSource&) = default;
};

/// How many tokens of shards are used when they are cut into windows of N+1 tokens.
struct WindowUse {
  int64_t files = 0;
  int64_t unused_files = 0;  // shorter than one window
  int64_t tokens = 0;
  int64_t unused_tokens = 0;  // in no window: short files and remainders at the end of shards
  int64_t windows = 0;
};

/// `shards` are the numbers of tokens of each shard.
WindowUse window_use(std::span<const int64_t> shards, int64_t sequence_length);

/// A source cut into windows of N+1 tokens with stride N, never across shards: window w of a shard begins at token w N.
/// The last token of a window is the first of the next, so each token except the first of a shard is a target at most
/// once. Threads may read at the same time.
class WindowedSource {
 public:
  /// The constructor scans sources of at most this many bytes for tokens outside the vocabulary. For larger sources
  /// only read() checks, so that training on a terabyte need not wait for a scan.
  static constexpr int64_t kScanAtOpening = kGibibyte;

  /// Throws InputError if no shard has the length of a window, or if the scan finds a token outside the vocabulary.
  /// Shards shorter than a window and remainders at the end of shards are not used.
  WindowedSource(const std::string& pattern, int64_t sequence_length, int64_t vocab_size);

  int64_t windows() const { return windows_; }
  int64_t tokens() const { return tokens_; }
  /// Reads window `index`, in the order of the files, into `out` (N+1 tokens). Throws InputError if a token is outside
  /// the vocabulary.
  void read(int64_t index, std::span<int32_t> out) const;

 private:
  std::vector<TokenShard> shards_;
  std::vector<int64_t> first_window_;  // of each shard
  int64_t sequence_length_;
  int64_t vocab_size_;
  int64_t windows_ = 0;
  int64_t tokens_ = 0;
};

/// A loader's position, which checkpoints save. It counts tokens, so that it stays valid when a later stage changes the
/// sequence length.
struct LoaderPosition {
  std::vector<int64_t> tokens;  // tokens drawn from each source
  std::vector<int64_t> mixed;   // tokens drawn from each source under the current weights

  friend bool operator==(const LoaderPosition&, const LoaderPosition&) = default;
};

/// Draws sequences in a reproducible order. The weights alone choose the next source: the one with the lowest (tokens
/// drawn under the current weights + N) / weight, the first of equals. The seed chooses the window: each epoch is a new
/// permutation of the source's windows. The order is the same for any number of ranks. After a change of sequence
/// length a source continues at window (tokens drawn) / N. Not thread-safe.
class Loader {
 public:
  /// Throws InputError for an empty list of sources, for a weight that is not positive and finite, and for the reasons
  /// of WindowedSource.
  Loader(const std::vector<DataSource>& sources, int64_t sequence_length, int64_t vocab_size, uint64_t seed);

  /// Draws the next `global` sequences and writes this rank's part of them, sequences [first, first + sequences), to
  /// `tokens` [sequences, N+1]. Every rank's position advances by `global` sequences. If next() throws, the position
  /// does not change.
  void next(int64_t global, int64_t first, int64_t sequences, std::span<int32_t> tokens);

  LoaderPosition position() const { return position_; }
  /// Throws InputError if the position is for another number of sources or has a negative number of tokens.
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
