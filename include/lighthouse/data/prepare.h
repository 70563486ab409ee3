// Text files to token shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

struct PrepareOptions {
  std::vector<std::filesystem::path> files;  // text, in this order; end of text is written after each but empty ones
  std::filesystem::path directory;           // of train-00000.bin, ..., val-00000.bin, ...; made if missing
  int64_t shard_tokens = 100'000'000;        // the largest shard: 2 to ShardWriter::kMaxTokens
  double validation_share = 0.05;            // of the text, taken from its end: 0 (no validation shard) to 0.5
  bool skip_broken = false;                  // leave out lines that are not UTF-8, where the tokenizer takes text alone
  bool as_is = false;                        // take files byte by byte, whatever their format
  bool overwrite = false;                    // replace the folder's shards: all its train-*.bin and val-*.bin
};

struct PrepareResult {
  int64_t train_tokens = 0;
  int64_t validation_tokens = 0;
  int64_t skipped_lines = 0;
  std::vector<std::filesystem::path> empty_files;  // left out
  std::vector<std::filesystem::path> shards;
};

/// Told after every piece how many of all bytes have been read. May throw to stop.
using PrepareProgress = std::function<void(int64_t bytes, int64_t of)>;

/// Reads the files piece by piece and writes the shards: 16-bit ones if the vocabulary fits, else 32-bit. Validation
/// begins where its share of the bytes (counting one for each end of text) is left, also in the middle of a file: with
/// bytes as tokens the share is exact. Other tokenizers take text that is cut at line ends alone: there validation
/// begins with the next line.
///
/// Throws InputError if text must be UTF-8 and is not, naming file and line; and before anything is written if a file
/// is missing or not plain text (begin_of_text()), if all are empty or together too short to split, if an option is out
/// of range, or if shards are there already and `overwrite` is false.
///
/// Shards are made in a folder of their own inside `directory` and moved up when all are on disk. So if reading or
/// writing throws, nothing is left and old shards are as they were. A process killed before the moves leaves no new
/// shard either; killed during them, it leaves a marker (kUnfinishedMarker) by which match_files() refuses the folder.
/// The next call cleans up, without `overwrite`.
PrepareResult prepare(const PrepareOptions& options, const Tokenizer& tokenizer, const PrepareProgress& progress = {});

}  // namespace lighthouse
