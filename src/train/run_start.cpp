#include "lighthouse/train/run_start.h"

#include <fmt/format.h>

#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/dist/ranks.h"
#include "lighthouse/train/compatibility.h"
#include "lighthouse/train/metrics.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

std::string steps_of(const std::vector<CheckpointEntry>& entries) {
  std::vector<std::string> steps;
  steps.reserve(entries.size());
  for (const CheckpointEntry& entry : entries) steps.push_back(std::to_string(entry.step));
  return steps.empty() ? "there are none" : "there are: " + join(steps, ", ");
}

/// Checkpoints that a resumed run will write again stay, under another name.
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

RunStart::RunStart(const RunConfig& config, const RunDirectory& directory, Group& group, RunMemory& memory,
                   CheckpointWriter& writer, const std::map<std::string, DataFingerprint>& data,
                   std::string environment)
    : config_(config),
      directory_(directory),
      group_(group),
      memory_(memory),
      writer_(writer),
      data_(data),
      environment_(std::move(environment)) {}

RunPosition RunStart::start(const StartOptions& options) {
  const auto mine = [&] { return group_.leads() ? choose(options).string() : std::string(); };
  const fs::path checkpoint = together(group_, "the choice of a checkpoint", mine).front();
  if (!checkpoint.empty()) return continue_from(checkpoint, options.accept_changed_data);
  start_afresh();
  return {};
}

fs::path RunStart::choose(const StartOptions& options) const {
  if (options.resume_from) return checkpoint_of(*options.resume_from);
  if (options.resume && !list_checkpoints(directory_.checkpoints()).empty()) return newest_checkpoint();
  if (!options.resume && directory_.holds_a_run()) {
    throw InputError(
        fmt::format("{} holds a run already; --resume continues it, another run.directory starts a new one",
                    directory_.path().string()));
  }
  return config_.run.branch_from.empty() ? fs::path() : find_checkpoint(config_.run.branch_from);
}

fs::path RunStart::newest_checkpoint() const {
  const auto entries = list_checkpoints(directory_.checkpoints());
  try {
    load_state(entries.back().path);
    // Of several ranks each looks at a part of the files, later.
    if (group_.size() == 1) verify_checkpoint(entries.back().path);
  } catch (const InputError& error) {
    const std::vector<CheckpointEntry> others{entries.begin(), entries.end() - 1};
    throw InputError(
        fmt::format("the newest checkpoint cannot be used: {}. --resume-from STEP starts from another one "
                    "({}){}",
                    error.what(), steps_of(others), others.empty() ? "; another run.directory starts a new run" : ""));
  }
  return entries.back().path;
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
  together(group_, "the verification of a checkpoint", [&] {
    verify_checkpoint(checkpoint, group_.rank(), group_.size());
    return std::string();
  });
}

void RunStart::start_afresh() {
  const fs::path checkpoint = config_.run.init_from.empty() ? fs::path() : find_checkpoint(config_.run.init_from);
  if (!checkpoint.empty()) {
    verify(checkpoint);
    notes_.push_back(fmt::format("starting from the weights of {}", checkpoint.string()));
  }
  together(group_, "the first weights", [&] {
    set_first_weights(checkpoint);
    return std::string();
  });
  if (group_.leads()) discard_after(directory_.metrics(), directory_.discarded_metrics(), 0);
}

void RunStart::set_first_weights(const fs::path& checkpoint) {
  if (!checkpoint.empty()) {
    const CheckpointState state = load_state(checkpoint);
    check_same_model(parse_config(state.config, checkpoint.string()), config_, checkpoint.string());
    note_tokenizer(state);
  }
  writer_.set_weights([&](const Parameters& weights) {
    initialize(weights, config_.model, static_cast<uint64_t>(config_.run.seed));
    if (!checkpoint.empty()) load_weights(checkpoint, weights, config_.model);
  });
}

RunPosition RunStart::continue_from(const fs::path& checkpoint, bool accept_changed_data) {
  verify(checkpoint);
  CheckpointState state;
  together(group_, "the reading of a checkpoint", [&] {
    state = load_state(checkpoint);
    check_allowed(state, checkpoint);
    check_same_data(state, checkpoint, accept_changed_data);
    load(checkpoint, state);
    return std::string();
  });
  if (is_own(checkpoint)) saved_ = state.step;
  RunPosition position{state.step, state.tokens, state.seconds, state.skipped_in_a_row, false, state.loader};
  notes_.push_back(fmt::format("continuing from {} ({} steps, {} tokens)", checkpoint.string(),
                               format_count(position.steps), format_count(position.tokens)));
  note_environment(state);
  note_tokenizer(state);
  bool pending = false;
  if (group_.leads() && !is_own(checkpoint)) take_over_branch(checkpoint, position.steps);
  if (group_.leads() && is_own(checkpoint)) {
    take_over_run(position.steps);
    pending = state.evaluation_pending && !evaluated_at(directory_.metrics(), position.steps);
  }
  position.evaluation_pending = !group_.of_leader(pending ? "pending" : "", "the start of the run").empty();
  return position;
}

void RunStart::check_allowed(const CheckpointState& state, const fs::path& checkpoint) const {
  const RunConfig before = parse_config(state.config, (checkpoint / "state.json").string());
  if (is_own(checkpoint)) {
    check_resumable(before, config_, state.step, checkpoint.string());
  } else {
    check_same_model(before, config_, checkpoint.string());
  }
  if (config_.total_steps() >= state.step) return;
  throw InputError(fmt::format("{} has {} steps behind it and the stages have only {}; more steps are needed",
                               checkpoint.string(), state.step, config_.total_steps()));
}

void RunStart::check_same_data(const CheckpointState& state, const fs::path& checkpoint, bool accept) {
  if (state.data.empty()) {
    notes_.push_back(
        "the checkpoint has no fingerprint of its data, as those of older versions: whether the data is still the same "
        "was not checked");
  }
  for (const auto& [pattern, before] : state.data) {
    const auto now = data_.find(pattern);
    if (now == data_.end()) continue;
    const std::string changes = changes_between(before, now->second);
    if (changes.empty()) continue;
    const auto drawn = state.loader.find(pattern);
    if (drawn == state.loader.end() || drawn->second.tokens == 0) {
      warnings_.push_back(
          fmt::format("the data of {} is not what it was at {} ({})", pattern, checkpoint.string(), changes));
      continue;
    }
    if (!accept) {
      throw InputError(fmt::format(
          "the training data of {} is not what {} was trained on ({}). The order of the windows follows from the "
          "shards: some would be trained on again, others never. Put the shards back, give new ones a pattern of their "
          "own in a later stage, or go on all the same with --accept-changed-data",
          pattern, checkpoint.string(), changes));
    }
    warnings_.push_back(
        fmt::format("the training data of {} has changed since {} ({}): of its {} tokens drawn so far, some windows "
                    "may come again, "
                    "and others not at all before the next pass",
                    pattern, checkpoint.string(), changes, format_count(drawn->second.tokens)));
  }
}

void RunStart::load(const fs::path& checkpoint, const CheckpointState& state) {
  writer_.set_weights([&](const Parameters& weights) { load_weights(checkpoint, weights, config_.model); });
  writer_.set_moments([&](const Moments& moments) { load_moments(checkpoint, moments, config_.model); });
  memory_.optimizer().set_updates(state.optimizer_updates);
}

void RunStart::note_environment(const CheckpointState& state) {
  if (state.environment == environment_) return;
  notes_.push_back(
      fmt::format("the checkpoint was made with {}; this is {}: losses may differ in their last "
                  "digits from those of an uninterrupted run",
                  state.environment, environment_));
}

void RunStart::note_tokenizer(const CheckpointState& state) {
  if (state.tokenizer.empty() || state.tokenizer == tokenizer_digest(config_.model.tokenizer)) return;
  notes_.push_back(fmt::format("the tokenizer {} is not the one that the checkpoint's model was trained with",
                               config_.model.tokenizer));
}

void RunStart::take_over_branch(const fs::path& checkpoint, int64_t step) const {
  const fs::path parent = checkpoint.parent_path().parent_path() / "metrics.jsonl";
  discard_after(directory_.metrics(), directory_.discarded_metrics(), step);
  if (fs::exists(parent)) copy_up_to(parent, directory_.metrics(), step);
}

void RunStart::take_over_run(int64_t step) const {
  // In this order: killed in between, the next --resume finds this checkpoint the newest and does the rest.
  set_aside_checkpoints_after(directory_.checkpoints(), step);
  discard_after(directory_.metrics(), directory_.discarded_metrics(), step);
}

}  // namespace lighthouse
