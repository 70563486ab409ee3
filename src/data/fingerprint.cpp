#include "lighthouse/data/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "lighthouse/core/checksum.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/core/utf8.h"
#include "lighthouse/data/shard.h"

namespace lighthouse {
namespace {

constexpr int64_t kPieces = 16;
constexpr int64_t kPieceBytes = ShardFingerprint::kBytesRead / kPieces;

/// The path in UTF-8, as checkpoints require. In a path that is not UTF-8, non-ASCII bytes become \xNN.
std::string utf8_path(const std::filesystem::path& path) {
  const std::string& bytes = path.native();
  if (first_invalid_utf8(bytes) == std::string_view::npos) return bytes;
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < 0x80 ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return text;
}

ShardFingerprint fingerprint_of_file(const std::filesystem::path& path) {
  const InputFile file(path);
  std::vector<std::byte> bytes(static_cast<size_t>(std::min(file.size(), ShardFingerprint::kBytesRead)));
  if (std::ssize(bytes) == file.size()) {
    file.read(0, bytes);
  } else {
    for (int64_t i = 0; i < kPieces; ++i) {
      const int64_t offset = i * (file.size() - kPieceBytes) / (kPieces - 1);
      file.read(offset, std::span(bytes).subspan(static_cast<size_t>(i * kPieceBytes), kPieceBytes));
    }
  }
  return {utf8_path(path), file.size(), checksum_of(bytes)};
}

bool same_bytes(const ShardFingerprint& a, const ShardFingerprint& b) {
  return a.bytes == b.bytes && a.checksum == b.checksum;
}

}  // namespace

DataFingerprint fingerprint_of(const std::string& pattern) {
  DataFingerprint fingerprint;
  for (const auto& path : match_files(pattern)) fingerprint.push_back(fingerprint_of_file(path));
  return fingerprint;
}

std::string changes_between(const DataFingerprint& before, const DataFingerprint& now) {
  if (std::ranges::equal(before, now, same_bytes)) return "";
  std::map<std::string, ShardFingerprint> old;
  for (const ShardFingerprint& shard : before) old[shard.path] = shard;
  std::vector<std::string> added, replaced, removed;
  for (const ShardFingerprint& shard : now) {
    const auto known = old.find(shard.path);
    if (known == old.end()) {
      added.push_back(shard.path);
      continue;
    }
    if (!same_bytes(known->second, shard)) replaced.push_back(shard.path);
    old.erase(known);
  }
  for (const auto& [path, shard] : old) removed.push_back(path);
  std::vector<std::string> changes;
  if (!added.empty()) changes.push_back("added: " + join_some(added));
  if (!replaced.empty()) changes.push_back("replaced: " + join_some(replaced));
  if (!removed.empty()) changes.push_back("removed: " + join_some(removed));
  return join(changes, "; ");
}

}  // namespace lighthouse
