#include "lighthouse/train/run_start.h"

#include <fmt/format.h>

#include <cmath>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/dist/ranks.h"
#include "lighthouse/train/compatibility.h"
#include "lighthouse/train/metrics.h"
#include "lighthouse/train/model_tokenizer.h"
#include "lighthouse/train/schedule.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

std::string steps_of(const std::vector<CheckpointEntry>& entries) {
  std::vector<std::string> steps;
  steps.reserve(entries.size());
  for (const CheckpointEntry& entry : entries) steps.push_back(std::to_string(entry.step));
  return steps.empty() ? "it has none" : "it has those of steps " + join(steps, ", ");
}

/// Renames the checkpoints that a run resumed at `step` will write again.
void set_aside_checkpoints_after(const fs::path& directory, int64_t step) {
  for (const CheckpointEntry& entry : list_checkpoints(directory)) {
    if (entry.step <= step) continue;
    fs::path aside;
    for (int copy = 1; aside.empty() || fs::exists(aside); ++copy) {
      aside = directory / fmt::format("discarded-{}-{}", copy, entry.path.filename().string());
    }
    fs::rename(entry.path, aside);
  }
}

bool evaluated_at(const fs::path& metrics, int64_t step) {
  const RunHistory history = read_history(metrics);
  return !history.validations.empty() && history.validations.back().step == step;
}

}  // namespace

RunStart::RunStart(const RunConfig& config, const RunProvenance& provenance, const RunDirectory& directory,
                   ProcessGroup& group, RunMemory& memory, CheckpointWriter& writer, RunReporter& reporter)
    : config_(config),
      provenance_(provenance),
      directory_(directory),
      group_(group),
      memory_(memory),
      writer_(writer),
      reporter_(reporter) {}

RunPosition RunStart::start(const StartOptions& options) {
  if (group_.is_rank0() && options.resumes()) warn_of_another_run(options.config);
  const auto mine = [&] { return group_.is_rank0() ? choose(options).string() : std::string(); };
  const fs::path chosen = on_all_ranks(group_, "the choice of a checkpoint", mine).front();
  if (chosen.empty()) {
    if (options.resumes()) {
      reporter_.note(fmt::format("{} has no checkpoints; the run starts at step 0", directory_.checkpoints().string()));
    }
    start_afresh();
    return {};
  }
  if (options.resume_from || !is_own(chosen)) {
    verify(chosen);
    return continue_from(chosen, options.accept_changed_data);
  }
  return continue_from(verified_newest(options.resume_whole), options.accept_changed_data);
}

fs::path RunStart::choose(const StartOptions& options) const {
  if (options.resume_from) return checkpoint_of(*options.resume_from);
  const auto own = list_checkpoints(directory_.checkpoints());
  if (options.resumes() && !own.empty()) return own.back().path;
  if (!options.resumes() && directory_.holds_a_run()) {
    throw InputError(
        fmt::format("{} contains a run already; --resume continues it, another run.directory starts a new one",
                    directory_.path().string()));
  }
  return config_.run.branch_from.empty() ? fs::path() : find_checkpoint(config_.run.branch_from);
}

fs::path RunStart::verified_newest(bool whole) {
  auto entries = list_checkpoints(directory_.checkpoints());
  std::vector<std::string> passed_over;
  while (true) {
    // Rank 0's choice: another host may not see the newest folder yet.
    fs::path newest = group_.broadcast(entries.empty() ? "" : entries.back().path.string(), "the newest checkpoint");
    if (newest.empty()) break;
    try {
      verify(newest);
      return newest;
    } catch (const InputError& error) {  // on all ranks
      if (!entries.empty()) entries.pop_back();
      if (!whole) {
        throw AllRanksInputError(fmt::format(
            "the newest checkpoint cannot be used: {}. --resume-whole takes the newest one that is whole, "
            "--resume-from STEP another one ({}){}",
            error.what(), steps_of(entries), entries.empty() ? "; another run.directory starts a new run" : ""));
      }
      passed_over.push_back(fmt::format("{}: {}", newest.string(), error.what()));
      reporter_.warn(fmt::format("passing over {}. It stays in the folder under a name that begins with discarded-",
                                 passed_over.back()));
    }
  }
  throw AllRanksInputError(fmt::format("no checkpoint in {} can be used: {}; another run.directory starts a new run",
                                       directory_.checkpoints().string(), join(passed_over, "; ")));
}

fs::path RunStart::checkpoint_of(int64_t step) const {
  const auto entries = list_checkpoints(directory_.checkpoints());
  for (const CheckpointEntry& entry : entries) {
    if (entry.step == step) return entry.path;
  }
  throw InputError(
      fmt::format("{} has no checkpoint of step {}; {}", directory_.path().string(), step, steps_of(entries)));
}

void RunStart::verify(const fs::path& checkpoint) const {
  on_all_ranks(group_, "the verification of a checkpoint", [&] {
    load_state(checkpoint);  // throws if its form is wrong
    verify_checkpoint(checkpoint, group_.rank(), group_.size());
    return std::string();
  });
}

void RunStart::start_afresh() {
  const fs::path checkpoint = config_.run.init_from.empty() ? fs::path() : find_checkpoint(config_.run.init_from);
  if (!checkpoint.empty()) {
    verify(checkpoint);
    reporter_.note(fmt::format("starting from the weights of {}", checkpoint.string()));
  }
  on_all_ranks(group_, "the first weights", [&] {
    set_first_weights(checkpoint);
    return std::string();
  });
  if (group_.is_rank0()) discard_after(directory_.metrics(), directory_.discarded_metrics(), 0);
}

void RunStart::set_first_weights(const fs::path& checkpoint) {
  if (!checkpoint.empty()) {
    const CheckpointState state = load_state(checkpoint);
    check_same_model(config_of(state, checkpoint), config_, checkpoint.string());
    note_tokenizer(state);
  }
  writer_.set_weights([&](const Parameters& weights) {
    initialize(weights, config_.model, static_cast<uint64_t>(config_.run.seed));
    if (!checkpoint.empty()) load_weights(checkpoint, weights, config_.model);
  });
}

RunPosition RunStart::continue_from(const fs::path& checkpoint, bool accept_changed_data) {
  CheckpointState state;
  RunConfig before;
  on_all_ranks(group_, "the reading of a checkpoint", [&] {
    state = load_state(checkpoint);
    before = config_of(state, checkpoint);
    check_allowed(before, state, checkpoint);
    check_same_data(state, checkpoint, accept_changed_data);
    load(checkpoint, state);
    return std::string();
  });
  if (is_own(checkpoint)) saved_ = state.step;
  RunPosition position{state.step, state.tokens, state.seconds, state.skipped_in_a_row, false, state.loader};
  reporter_.note(fmt::format("continuing from {} ({} steps, {} tokens)", checkpoint.string(),
                             format_count(position.steps), format_count(position.tokens)));
  note_environment(state);
  note_tokenizer(state);
  if (is_own(checkpoint)) warn_of_learning_rate(before, position.steps);
  bool pending = false;
  if (group_.is_rank0() && !is_own(checkpoint)) copy_metrics_of_branch(checkpoint, position.steps);
  if (group_.is_rank0() && is_own(checkpoint)) {
    set_aside_later_steps(position.steps);
    pending = state.evaluation_pending && !evaluated_at(directory_.metrics(), position.steps);
  }
  position.evaluation_pending = !group_.broadcast(pending ? "pending" : "", "the start of the run").empty();
  return position;
}

void RunStart::check_allowed(const RunConfig& before, const CheckpointState& state, const fs::path& checkpoint) const {
  if (is_own(checkpoint)) {
    check_resumable(before, config_, state.step, checkpoint.string());
  } else {
    check_same_model(before, config_, checkpoint.string());
  }
  if (config_.total_steps() >= state.step) return;
  throw InputError(fmt::format("{} was saved after {} steps and the stages have only {}; add steps to the last stage",
                               checkpoint.string(), state.step, config_.total_steps()));
}

void RunStart::check_same_data(const CheckpointState& state, const fs::path& checkpoint, bool accept) {
  if (state.data.empty()) {
    reporter_.note(
        "the checkpoint is of an older version without a fingerprint of its data; whether the data has changed was not "
        "checked");
  }
  for (const auto& [pattern, before] : state.data) {
    const auto now = provenance_.data.find(pattern);
    if (now == provenance_.data.end()) continue;
    const std::string changes = changes_between(before, now->second);
    if (changes.empty()) continue;
    const auto drawn = state.loader.find(pattern);
    if (drawn == state.loader.end() || drawn->second.tokens == 0) {
      reporter_.warn(fmt::format("the data of {} has changed since {} ({})", pattern, checkpoint.string(), changes));
      continue;
    }
    if (!accept) {
      throw InputError(fmt::format(
          "the training data of {} is not what {} was trained on ({}). The order of the windows follows from the "
          "shards: some would be trained on again, others never. Restore the shards, give new ones a pattern of their "
          "own in a later stage, or continue with --accept-changed-data",
          pattern, checkpoint.string(), changes));
    }
    reporter_.warn(
        fmt::format("the training data of {} has changed since {} ({}): of its {} tokens drawn so far, some windows "
                    "may come again, "
                    "and others not at all before the next pass",
                    pattern, checkpoint.string(), changes, format_count(drawn->second.tokens)));
  }
}

void RunStart::load(const fs::path& checkpoint, const CheckpointState& state) {
  writer_.set_weights([&](const Parameters& weights) { load_weights(checkpoint, weights, config_.model); });
  writer_.set_optimizer_state(
      [&](const std::vector<StateTensor>& tensors) { load_optimizer_state(checkpoint, tensors, config_.model); });
  memory_.optimizer().set_updates(state.optimizer_updates);
}

void RunStart::warn_of_another_run(const fs::path& config) {
  const fs::path folder = config.parent_path();
  if (config.empty() || !(fs::exists(folder / "checkpoints") || fs::exists(folder / "metrics.jsonl"))) return;
  std::error_code unlike;
  if (fs::equivalent(folder.empty() ? "." : folder, directory_.path(), unlike)) return;
  reporter_.warn(
      fmt::format("{0} lies in the folder of a run, but run.directory is {1}, and that is where the run is; to "
                  "continue the run in {2}, add --set run.directory={2}",
                  config.string(), directory_.path().string(), folder.empty() ? "." : folder.string()));
}

void RunStart::warn_of_learning_rate(const RunConfig& before, int64_t steps) {
  constexpr double kSame = 0.01;  // relative; successive steps of one schedule differ too
  if (steps < 1 || steps >= config_.total_steps() || steps > before.total_steps()) return;
  const double last = learning_rate_of_step(before, steps - 1);
  const double last_now = learning_rate_of_step(config_, steps - 1);
  if (std::abs(last_now - last) <= kSame * std::max(last, last_now)) return;
  reporter_.warn(
      fmt::format("the learning rate jumps from {:.4g} at step {} to {:.4g} at step {}: the schedule now has {} steps "
                  "instead of {}",
                  last, steps, learning_rate_of_step(config_, steps), steps + 1, format_count(config_.total_steps()),
                  format_count(before.total_steps())));
}

void RunStart::note_environment(const CheckpointState& state) {
  if (state.environment == provenance_.environment) return;
  reporter_.note(
      fmt::format("the checkpoint was written by {}; this is {}: losses may differ in their last digits from those of "
                  "an uninterrupted run",
                  state.environment, provenance_.environment));
}

void RunStart::note_tokenizer(const CheckpointState& state) {
  if (state.tokenizer.empty() || state.tokenizer == provenance_.tokenizer) return;
  reporter_.note(fmt::format("the tokenizer {} is not the one that the checkpoint's model was trained with",
                             config_.model.tokenizer));
}

void RunStart::copy_metrics_of_branch(const fs::path& checkpoint, int64_t step) const {
  const fs::path parent = checkpoint.parent_path().parent_path() / "metrics.jsonl";
  discard_after(directory_.metrics(), directory_.discarded_metrics(), step);
  if (fs::exists(parent)) copy_up_to(parent, directory_.metrics(), step);
}

void RunStart::set_aside_later_steps(int64_t step) const {
  // Checkpoints first: if the process is killed in between, the next --resume chooses the same checkpoint and
  // continues.
  set_aside_checkpoints_after(directory_.checkpoints(), step);
  discard_after(directory_.metrics(), directory_.discarded_metrics(), step);
}

}  // namespace lighthouse
