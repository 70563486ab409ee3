// Token shards in llm.c's two formats: a header of 256 int32 (magic, version, token count, zeros), then the tokens.
// 16-bit tokens: magic 20240520, version 1. 32-bit tokens: magic 20240801, version 7.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "lighthouse/core/file.h"

namespace lighthouse {

/// A shard file opened for reading. Removing the file or renaming another over it while it is open throws InputError or
/// changes nothing (InputFile). Threads may read at the same time.
class TokenShard {
 public:
  /// Throws InputError if the file is missing or empty, has another magic number or version, or has another length than
  /// its header says.
  explicit TokenShard(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  int64_t size() const { return size_; }
  /// The width of a token in the file: 2 or 4.
  int bytes_per_token() const { return bytes_per_token_; }
  /// Reads tokens [begin, begin + out.size()). Throws std::logic_error if the range exceeds the shard, InputError if
  /// the file cannot be read or was truncated.
  void read(int64_t begin, std::span<int32_t> out) const;
  /// The same; also throws InputError with the position and value of the first token outside [0, vocab_size).
  void read(int64_t begin, std::span<int32_t> out, int64_t vocab_size) const;
  /// Reads the whole shard in blocks and calls visit(tokens) for each, in order. With `vocab_size`, checks the tokens.
  void for_each_block(const std::function<void(std::span<const int32_t>)>& visit,
                      std::optional<int64_t> vocab_size = {}) const;

 private:
  InputFile file_;
  int64_t size_ = 0;
  int bytes_per_token_ = 2;
};

/// Writes a shard file that appears whole or not at all. Throws InputError for the reasons of AtomicFile.
class ShardWriter {
 public:
  static constexpr int64_t kMaxTokens = INT32_MAX;  // the header's count has 32 bits

  /// `bytes_per_token` must be 2 or 4.
  ShardWriter(const std::filesystem::path& path, int bytes_per_token);
  /// Throws std::logic_error if a token does not fit the width or the shard would exceed kMaxTokens.
  void append(std::span<const int32_t> tokens);
  int64_t size() const { return size_; }
  void commit();

 private:
  AtomicFile file_;
  int bytes_per_token_;
  int64_t size_ = 0;
};

/// A file that exists in a folder while `prepare` moves finished shards into it. It remains if the process is killed.
inline constexpr const char* kUnfinishedMarker = "prepare.unfinished";

/// The files that match a glob pattern ("data/train-*.bin"), sorted by name. Throws InputError if no file matches, or
/// if a folder's shards are incomplete because `prepare` was killed there.
std::vector<std::filesystem::path> match_files(const std::string& pattern);

}  // namespace lighthouse
