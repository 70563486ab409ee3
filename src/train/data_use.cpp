#include "lighthouse/train/data_use.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <map>
#include <utility>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/shard.h"

namespace lighthouse {
namespace {

/// Identifies a file independently of its names.
using FileIdentity = std::pair<dev_t, ino_t>;

FileIdentity identity_of(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) throw InputError(fmt::format("cannot read {}", path.string()));
  return {status.st_dev, status.st_ino};
}

/// The name under which a pattern matched a file.
struct Found {
  std::string path, pattern;

  /// "X", or "X (the same file as Y)"
  std::string name_beside(const std::string& other) const {
    return path == other ? path : fmt::format("{} (the same file as {})", path, other);
  }
};
using FoundFiles = std::map<FileIdentity, Found>;

FoundFiles validation_files(const RunConfig& config) {
  FoundFiles found;
  for (const StageSection& stage : config.stages) {
    if (stage.data.validation.empty()) continue;
    for (const auto& path : match_files(stage.data.validation)) {
      found.emplace(identity_of(path), Found{path.string(), stage.data.validation});
    }
  }
  return found;
}

void check_stage(const StageSection& stage, const FoundFiles& validated) {
  FoundFiles trained;
  for (const DataSource& source : stage.data.train) {
    for (const auto& path : match_files(source.path)) {
      const FileIdentity identity = identity_of(path);
      const Found file{path.string(), source.path};
      if (const auto other = validated.find(identity); other != validated.end()) {
        throw InputError(fmt::format(
            "stage {} trains on {}, which is validation data too: {} matches it, and so does {}. The validation loss "
            "would not measure unseen text; use training and validation patterns that share no file, such as "
            "train-*.bin and "
            "val-*.bin",
            stage.name, file.name_beside(other->second.path), file.pattern, other->second.pattern));
      }
      const auto [other, is_new] = trained.emplace(identity, file);
      if (is_new) continue;
      const std::string both = other->second.pattern == file.pattern
                                   ? fmt::format("{} matches both names", file.pattern)
                                   : fmt::format("{} matches it, and so does {}", other->second.pattern, file.pattern);
      throw InputError(
          fmt::format("stage {} trains on {} twice: {}. Use patterns that share no file; to draw from one more often, "
                      "raise its weight",
                      stage.name, file.name_beside(other->second.path), both));
    }
  }
}

WindowUse use_of(const std::string& pattern, int64_t sequence_length) {
  std::vector<int64_t> sizes;
  for (const auto& path : match_files(pattern)) sizes.push_back(TokenShard(path).size());
  return window_use(sizes, sequence_length);
}

}  // namespace

std::string SourceUse::str() const {
  const std::string unused =
      use.unused_tokens == 0
          ? "all tokens are used"
          : fmt::format("{} tokens ({:.1f}%) are in no window{}", format_count(use.unused_tokens),
                        100 * static_cast<double>(use.unused_tokens) / static_cast<double>(use.tokens),
                        use.unused_files == 0
                            ? ""
                            : fmt::format(", {} of the files have no window", format_count(use.unused_files)));
  return fmt::format("stage {}: {} has {} tokens in {} files, which make {} windows; {}{}", stage, pattern,
                     format_count(use.tokens), format_count(use.files), format_count(use.windows), unused,
                     passes > 0 ? fmt::format("; the stage makes {:.2f} passes over them", passes) : "");
}

std::vector<SourceUse> data_use(const RunConfig& config) {
  std::vector<SourceUse> all;
  for (const StageSection& stage : config.stages) {
    double weights = 0;
    for (const DataSource& source : stage.data.train) weights += source.weight;
    for (const DataSource& source : stage.data.train) {
      const WindowUse use = use_of(source.path, stage.batch.sequence_length);
      const double drawn = static_cast<double>(stage.steps) * static_cast<double>(stage.batch.global_batch_size) *
                           source.weight / weights;
      all.push_back({stage.name, source.path, use, use.windows > 0 ? drawn / static_cast<double>(use.windows) : 0});
    }
  }
  for (const StageSection& stage : config.stages) {
    if (stage.data.validation.empty()) continue;
    all.push_back({stage.name, stage.data.validation, use_of(stage.data.validation, stage.batch.sequence_length), 0});
  }
  return all;
}

void check_overlaps(const RunConfig& config) {
  const FoundFiles validated = validation_files(config);
  for (const StageSection& stage : config.stages) check_stage(stage, validated);
}

}  // namespace lighthouse
