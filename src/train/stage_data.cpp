#include "stage_data.h"

#include <fmt/format.h>

#include <set>
#include <sstream>

#include "lighthouse/core/error.h"
#include "lighthouse/dist/ranks.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

/// Throws InputError if a stage lists a path twice: a checkpoint stores the progress of a source under its path.
void check_sources(const StageSection& stage) {
  std::set<std::string> paths;
  for (const DataSource& source : stage.data.train) {
    if (paths.insert(source.path).second) continue;
    throw InputError(fmt::format("stage {} lists the training data {} twice; list it once, with a larger weight",
                                 stage.name, source.path));
  }
}

/// One line for each file.
std::string lines_of(const std::map<std::string, DataFingerprint>& data) {
  std::string text;
  for (const auto& [pattern, fingerprint] : data) {
    for (const ShardFingerprint& shard : fingerprint) {
      text +=
          fmt::format("{} of {} bytes, {}\n", fs::path(shard.path).filename().string(), shard.bytes, shard.checksum);
    }
  }
  return text;
}

/// Describes the first line that differs: "B instead of A".
std::string different_line(const std::string& a, const std::string& b) {
  std::istringstream lines_of_a(a), lines_of_b(b);
  for (std::string of_a, of_b; true;) {
    const bool more = static_cast<bool>(std::getline(lines_of_a, of_a));
    const bool more_there = static_cast<bool>(std::getline(lines_of_b, of_b));
    if (!more && !more_there) return "";
    if (!more) of_a = "nothing";
    if (!more_there) of_b = "nothing";
    if (of_a != of_b) return fmt::format("{} instead of {}", of_b, of_a);
  }
}

std::map<std::string, DataFingerprint> fingerprint_on_this_rank(const RunConfig& config) {
  std::map<std::string, DataFingerprint> data;
  const auto add = [&](const std::string& pattern) {
    if (!pattern.empty() && !data.contains(pattern)) data[pattern] = fingerprint_of(pattern);
  };
  for (const StageSection& stage : config.stages) {
    for (const DataSource& source : stage.data.train) add(source.path);
    add(stage.data.validation);
  }
  return data;
}

}  // namespace

std::unique_ptr<Loader> open_loader(const RunConfig& config, const StageSection& stage) {
  return std::make_unique<Loader>(stage.data.train, stage.batch.sequence_length, config.model.token_count(),
                                  static_cast<uint64_t>(config.run.seed));
}

std::unique_ptr<WindowedSource> open_validation(const RunConfig& config, const StageSection& stage) {
  if (stage.data.validation.empty()) return nullptr;
  return std::make_unique<WindowedSource>(stage.data.validation, stage.batch.sequence_length,
                                          config.model.token_count());
}

void check_data(const RunConfig& config, const StageSection& stage) {
  if (stage.data.train.empty()) {
    throw InputError(
        fmt::format("stage {} has no training data; set data.train to shards made by "
                    "`lighthouse prepare`, for example data/train-*.bin",
                    stage.name));
  }
  check_sources(stage);
  open_loader(config, stage);
  open_validation(config, stage);
}

std::map<std::string, DataFingerprint> fingerprint_data(ProcessGroup& group, const RunConfig& config) {
  std::map<std::string, DataFingerprint> data;
  on_all_ranks(group, "the fingerprint of the data", [&] {
    data = fingerprint_on_this_rank(config);
    return std::string();
  });
  if (group.size() > 1) check_ranks_agree(group, lines_of(data), "data", different_line);
  return data;
}

}  // namespace lighthouse
