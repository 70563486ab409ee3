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
  std::vector<std::filesystem::path> files;  // text, in this order; end of text is written after each
  std::filesystem::path directory;           // of train-00000.bin, ..., val-00000.bin, ...
  int64_t shard_tokens = 100'000'000;        // the largest shard
  double validation_share = 0.05;            // of the tokens, taken from the end of the text
  bool overwrite = false;                    // replace shards that are there already
};

struct PrepareResult {
  int64_t train_tokens = 0;
  int64_t validation_tokens = 0;
  std::vector<std::filesystem::path> shards;
};

/// Told now and then how many of all bytes have been read. May throw to stop.
using PrepareProgress = std::function<void(int64_t bytes, int64_t of)>;

/// Reads the files piece by piece and writes the shards: 16-bit ones if the vocabulary fits, else 32-bit. Throws
/// InputError, before anything is written, if a file is missing or empty, if all together are too short to split, if an
/// option is out of range, or if shards are there already and `overwrite` is false.
PrepareResult prepare(const PrepareOptions& options, const Tokenizer& tokenizer, const PrepareProgress& progress = {});

}  // namespace lighthouse
