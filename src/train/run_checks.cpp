#include "run_checks.h"

#include <fmt/format.h>

#include <optional>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/train/checkpoint.h"
#include "lighthouse/train/data_parallel.h"
#include "lighthouse/train/data_use.h"
#include "lighthouse/train/memory_plan.h"
#include "lighthouse/train/model_tokenizer.h"
#include "stage_data.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

void check_on_this_rank(const RunConfig& config, Backend& backend, const Mesh& mesh) {
  for (const StageSection& stage : config.stages) {
    check_batch_split(stage, mesh);
    check_data(config, stage);
  }
  check_overlaps(config);
  for (const std::string& checkpoint : {config.run.init_from, config.run.branch_from}) {
    if (!checkpoint.empty()) find_checkpoint(checkpoint);
  }
  check_memory(config, backend, available_bytes(config, backend), mesh);
}

}  // namespace

RunConfig checked_config(const RunConfig& config, Backend& backend, const Ranks& ranks) {
  RunConfig resolved;
  on_all_ranks(*ranks.group, "the checks of the config", [&] {
    resolved = with_document_ends(config);
    check_on_this_rank(resolved, backend, ranks.mesh);
    return std::string();
  });
  return resolved;
}

RunDirectory open_directory(const RunConfig& config, const Ranks& ranks) {
  std::optional<RunDirectory> directory;
  const std::string mark = on_all_ranks(*ranks.group, "the run's folder", [&] {
                             if (!ranks.is_rank0()) return std::string();
                             directory.emplace(config.run.directory);
                             return ranks.alone() ? std::string() : directory->mark();
                           }).front();
  if (ranks.alone()) return std::move(*directory);
  on_all_ranks(*ranks.group, "the run's folder", [&] {
    if (!ranks.is_rank0()) directory.emplace(RunDirectory::locked_by_rank0(config.run.directory, mark));
    return std::string();
  });
  return std::move(*directory);
}

void check_disk(const RunDirectory& directory, const Optimizer& optimizer, const ModelConfig& model) {
  const int64_t needed = checkpoint_bytes(optimizer, model);
  const auto free = static_cast<int64_t>(fs::space(directory.path()).available);
  if (free >= needed) return;
  throw InputError(fmt::format(
      "a checkpoint takes {} and the disk of {} has {} free; free some space or choose another run.directory",
      format_bytes(needed), directory.path().string(), format_bytes(free)));
}

}  // namespace lighthouse
