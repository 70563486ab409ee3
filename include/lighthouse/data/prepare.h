// Conversion of text files to token shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lighthouse/data/tokenizer.h"

namespace lighthouse {

struct PrepareOptions {
  std::vector<std::filesystem::path> files;  // text files; each one, unless empty, is followed by end of text
  std::filesystem::path directory;           // output: train-00000.bin, ..., val-00000.bin, ...; created if missing
  int64_t shard_tokens = 100'000'000;        // largest shard, 2 to ShardWriter::kMaxTokens
  double validation_share = 0.05;            // fraction at the end of the text, 0 (no validation shard) to 0.5
  bool skip_broken = false;                  // drop lines that are not UTF-8, if the tokenizer requires UTF-8
  bool as_is = false;                        // read files byte by byte, whatever their format
  bool overwrite = false;                    // replace all train-*.bin and val-*.bin of the folder
};

struct PrepareResult {
  int64_t train_tokens = 0;
  int64_t validation_tokens = 0;
  int64_t skipped_lines = 0;
  std::vector<std::filesystem::path> empty_files;  // skipped
  std::vector<std::filesystem::path> shards;
};

/// Called after every block with the number of bytes read so far and in total. May throw to stop.
using PrepareProgress = std::function<void(int64_t bytes, int64_t of)>;

/// Reads the files block by block and writes the shards, with 16-bit tokens if the vocabulary fits, else with 32-bit
/// tokens. The validation text begins where its fraction of the bytes remains (an end of text counts as one byte),
/// possibly in the middle of a file. With the byte tokenizer the split is exact; tokenizers that require UTF-8 split at
/// the next line end.
///
/// Throws InputError for text that must be UTF-8 and is not, with file and line. Before anything is written, it throws
/// InputError if a file is missing or is not plain text (begin_of_text()), if all files are empty or together too short
/// to split, if an option is out of range, and if the folder has shards and `overwrite` is false.
///
/// Shards are written to a subfolder of `directory` and moved up once all are on disk. If reading or writing throws,
/// nothing remains and old shards are unchanged. A process killed before the moves leaves no new shards. A process
/// killed during the moves leaves a marker (kUnfinishedMarker), by which match_files() refuses the folder; the next
/// call cleans up, without `overwrite`.
PrepareResult prepare(const PrepareOptions& options, const Tokenizer& tokenizer, const PrepareProgress& progress = {});

}  // namespace lighthouse
