// Fingerprints of training data, to detect that it changed. Their cost does not grow with the length of the files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "lighthouse/core/units.h"

namespace lighthouse {

/// A file's length and the checksum of its bytes. For a file longer than kBytesRead the checksum covers 16 equally
/// spaced blocks, including the first (with the header) and the last.
struct ShardFingerprint {
  static constexpr int64_t kBytesRead = kMebibyte;  // at most, of each file

  std::string path;
  int64_t bytes = 0;
  std::string checksum;

  friend bool operator==(const ShardFingerprint&, const ShardFingerprint&) = default;
};

/// The fingerprints of the files that match a pattern, in the order of match_files().
using DataFingerprint = std::vector<ShardFingerprint>;

/// Throws InputError if a file cannot be read, and for the reasons of match_files().
DataFingerprint fingerprint_of(const std::string& pattern);

/// Describes which files were added, removed or replaced; "" if both fingerprints have the same bytes in the same
/// order, even under other names.
std::string changes_between(const DataFingerprint& before, const DataFingerprint& now);

}  // namespace lighthouse
