// What tells the data behind a pattern from other data, at a cost that does not grow with the length of its files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace lighthouse {

/// One file: its length, and a checksum of its bytes. Of a file longer than kBytesRead the checksum covers 16 pieces at
/// equal distances, the first (with the header) and the last among them.
struct ShardFingerprint {
  static constexpr int64_t kBytesRead = int64_t{1} << 20;  // at most, of one file

  std::string path;
  int64_t bytes = 0;
  std::string checksum;

  friend bool operator==(const ShardFingerprint&, const ShardFingerprint&) = default;
};

/// The files of a pattern, in the order of match_files().
using DataFingerprint = std::vector<ShardFingerprint>;

/// Throws InputError if a file cannot be read, and for match_files()'s reasons.
DataFingerprint fingerprint_of(const std::string& pattern);

/// Which files were added, removed or replaced, in words; "" if both have the same bytes in the same order, whatever
/// the names.
std::string changes_between(const DataFingerprint& before, const DataFingerprint& now);

}  // namespace lighthouse
