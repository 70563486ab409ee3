// Token shards in llm.c's two formats: 256 int32 of header (magic, version, token count), then the tokens.
// 16-bit: magic 20240520, version 1. 32-bit: magic 20240801, version 7.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "lighthouse/core/file.h"

namespace lighthouse {

/// A shard that stays open: a file renamed over it or removed changes nothing.
class TokenShard {
 public:
  /// Throws InputError if the file is missing, empty, has another magic or version, or is not as long as its header
  /// says.
  explicit TokenShard(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  int64_t size() const { return size_; }
  /// 2 or 4.
  int bytes_per_token() const { return bytes_per_token_; }
  /// Tokens [begin, begin + out.size()). Throws std::logic_error if the shard has fewer, InputError if they cannot be
  /// read or the file has been cut short.
  void read(int64_t begin, std::span<int32_t> out) const;
  /// The same, and throws InputError naming the first token outside [0, vocab_size), its place and its value.
  void read(int64_t begin, std::span<int32_t> out, int64_t vocab_size) const;
  /// Reads the whole shard so.
  void check_vocabulary(int64_t vocab_size) const;

 private:
  InputFile file_;
  int64_t size_ = 0;
  int bytes_per_token_ = 2;
};

/// Writes one shard that appears whole or not at all. Throws InputError (AtomicFile's reasons).
class ShardWriter {
 public:
  static constexpr int64_t kMaxTokens = INT32_MAX;  // the header counts them in 32 bits

  /// `bytes_per_token` 2 or 4.
  ShardWriter(const std::filesystem::path& path, int bytes_per_token);
  /// Throws std::logic_error if a token does not fit the width, or if the shard would exceed kMaxTokens.
  void append(std::span<const int32_t> tokens);
  int64_t size() const { return size_; }
  void commit();

 private:
  AtomicFile file_;
  int bytes_per_token_;
  int64_t size_ = 0;
};

/// Stands in a folder while `prepare` moves finished shards into it, and stays if it is killed there.
inline constexpr const char* kUnfinishedMarker = "prepare.unfinished";

/// The files that match a pattern ("data/train-*.bin"), sorted by name. Throws InputError if there is none, or if one
/// lies in a folder whose shards an unfinished `prepare` left incomplete.
std::vector<std::filesystem::path> match_files(const std::string& pattern);

}  // namespace lighthouse
