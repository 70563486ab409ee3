#include "lighthouse/train/run_checkpoints.h"

#include <fmt/format.h>

namespace lighthouse {

RunCheckpoints::RunCheckpoints(const RunConfig& config, const RunProvenance& provenance, const RunDirectory& directory,
                               Backend& backend, RunMemory& memory, TrainingStep& step, DataParallel* parallel,
                               ProcessGroup& group, RunReporter& reporter)
    : config_(config),
      provenance_(provenance),
      directory_(directory),
      memory_(memory),
      step_(step),
      group_(group),
      reporter_(reporter),
      writer_(memory, config, backend, directory.checkpoints(), group, parallel) {}

void RunCheckpoints::save(const RunPosition& position) {
  // Whether the previous checkpoint failed is agreed between the ranks only here. A failure must not prevent this one.
  if (saved_ != position.steps || group_.size() > 1) report_or_warn(true);
  if (saved_ == position.steps) return;
  saving_ = position.steps;
  // A run resumed from this checkpoint does not write the earlier metrics again.
  on_all_ranks(group_, "the metrics before a checkpoint", [&] {
    reporter_.flush();
    return std::string();
  });
  const Event copied = writer_.begin(checkpoint_state(config_, provenance_, position, memory_.optimizer().updates()));
  step_.delay_update_until(copied);
  if (memory_.master_is_sharded()) step_.delay_gradients_until(copied);
  saved_ = position.steps;
  report(false);
}

void RunCheckpoints::save_or_warn(const RunPosition& position) {
  try {
    save(position);
  } catch (const InputError& error) {
    warn_failed(error);
  }
}

void RunCheckpoints::report(bool wait) {
  try {
    const auto path = writer_.finished(wait);
    if (!path) return;
    reporter_.note(fmt::format("checkpoint {}", path->string()));
    if (group_.is_rank0()) prune_checkpoints(directory_.checkpoints(), config_.checkpoint.keep);
  } catch (const InputError&) {
    saved_ = -1;
    throw;
  }
}

void RunCheckpoints::report_or_warn(bool wait) {
  try {
    report(wait);
  } catch (const InputError& error) {
    warn_failed(error);
  }
}

void RunCheckpoints::warn_failed(const InputError& error) {
  reporter_.warn(fmt::format("no checkpoint at step {}: {}. Training continues", saving_, error.what()));
}

}  // namespace lighthouse
