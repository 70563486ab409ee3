#include "lighthouse/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "lighthouse/config/load.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/eval/validation.h"
#include "lighthouse/model/cost.h"
#include "lighthouse/train/compatibility.h"
#include "lighthouse/train/schedule.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Loader> open_loader(const RunConfig& config, const StageSection& stage) {
  return std::make_unique<Loader>(stage.data.train, stage.batch.sequence_length, config.model.token_count(),
                                  static_cast<uint64_t>(config.run.seed));
}

std::unique_ptr<WindowedSource> open_validation(const RunConfig& config, const StageSection& stage) {
  if (stage.data.validation.empty()) return nullptr;
  return std::make_unique<WindowedSource>(stage.data.validation, stage.batch.sequence_length,
                                          config.model.token_count());
}

/// A source's place in the data is kept under its path, so a stage can draw from a path only once.
void check_sources(const StageSection& stage) {
  std::set<std::string> paths;
  for (const DataSource& source : stage.data.train) {
    if (paths.insert(source.path).second) continue;
    throw InputError(fmt::format("stage {} lists the training data {} twice; list it once, with a larger weight",
                                 stage.name, source.path));
  }
}

/// Everything that can be refused without touching the run's directory.
RunConfig checked(const RunConfig& config, Backend& backend) {
  for (const StageSection& stage : config.stages) {
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
  for (const std::string& checkpoint : {config.run.init_from, config.run.branch_from}) {
    if (!checkpoint.empty()) find_checkpoint(checkpoint);
  }
  check_memory(config, backend, available_bytes(config, backend));
  return config;
}

void check_disk(const fs::path& directory, const ModelConfig& model) {
  const int64_t needed = 3 * size_of(DType::kFloat32) * parameter_count(model);
  const auto free = static_cast<int64_t>(fs::space(directory).available);
  if (free >= needed) return;
  throw InputError(
      fmt::format("a checkpoint takes {} and {} has {} free; free some space or choose another "
                  "run.directory",
                  format_bytes(needed), directory.string(), format_bytes(free)));
}

/// What decides the bits of a run besides its config: this very program, and what it computes with.
std::string environment_of(const Backend& backend) {
  return fmt::format("program {}; g++ {}; {}", checksum_of_file("/proc/self/exe"), __VERSION__, backend.description());
}

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

/// Operations per second that the device could do, or 0 if that is not known.
double peak_flops(const RunConfig& config, const Backend& backend) {
  return config.hardware.peak_tflops > 0 ? config.hardware.peak_tflops * 1e12 : backend.hardware().flops;
}

}  // namespace

// ---- How it starts ----

Trainer::Trainer(const RunConfig& config, const StartOptions& start, Backend& backend, TrainingObserver& observer)
    : config_(checked(config, backend)),
      backend_(backend),
      observer_(observer),
      memory_(config, backend),
      feed_(backend, memory_.largest_batch()),
      step_(memory_, feed_, backend),
      directory_(config.run.directory),
      metrics_(directory_.metrics()),
      peak_flops_(peak_flops(config, backend)) {
  check_disk(directory_.path(), config.model);
  arena_ = Arena(backend.allocate(planned_bytes(config, backend)));
  memory_.lay_out(arena_);
  writer_ = std::make_unique<CheckpointWriter>(memory_, config_, backend_, directory_.checkpoints());
  memory_.set_layer_hook([this](int64_t) { stop_.check(); });
  choose_start(start);
  make_directories(directory_.checkpoints());
  remove_partial_checkpoints(directory_.checkpoints());
  directory_.remove_partial_files();
  write_file(directory_.config(), to_yaml(config_));
}

void Trainer::choose_start(const StartOptions& start) {
  if (start.resume_from) return resume_from(*start.resume_from);
  if (start.resume && !list_checkpoints(directory_.checkpoints()).empty()) return resume_newest();
  if (!start.resume && directory_.holds_a_run()) {
    throw InputError(
        fmt::format("{} holds a run already; --resume continues it, another run.directory starts a new one",
                    directory_.path().string()));
  }
  if (!config_.run.branch_from.empty()) return continue_from(find_checkpoint(config_.run.branch_from), true);
  start_afresh();
}

void Trainer::start_afresh() {
  initialize(writer_->host().weights, config_.model, static_cast<uint64_t>(config_.run.seed));
  if (!config_.run.init_from.empty()) {
    const fs::path checkpoint = find_checkpoint(config_.run.init_from);
    verify_checkpoint(checkpoint);
    check_same_model(parse_config(load_state(checkpoint).config, checkpoint.string()), config_, checkpoint.string());
    load_weights(checkpoint, writer_->host().weights, config_.model);
    opening_notes_.push_back(fmt::format("starting from the weights of {}", checkpoint.string()));
  }
  writer_->upload_weights();
  discard_after(directory_.metrics(), directory_.discarded_metrics(), 0);
}

void Trainer::resume_newest() {
  const auto entries = list_checkpoints(directory_.checkpoints());
  try {
    verify_checkpoint(entries.back().path);
  } catch (const InputError& error) {
    const std::vector<CheckpointEntry> others{entries.begin(), entries.end() - 1};
    throw InputError(
        fmt::format("the newest checkpoint cannot be used: {}. --resume-from STEP starts from another one "
                    "({}){}",
                    error.what(), steps_of(others), others.empty() ? "; another run.directory starts a new run" : ""));
  }
  continue_from(entries.back().path, false);
}

void Trainer::resume_from(int64_t step) {
  const auto entries = list_checkpoints(directory_.checkpoints());
  for (const CheckpointEntry& entry : entries) {
    if (entry.step == step) return continue_from(entry.path, false);
  }
  throw InputError(
      fmt::format("{} has no checkpoint of step {}; {}", directory_.path().string(), step, steps_of(entries)));
}

void Trainer::continue_from(const fs::path& checkpoint, bool branch) {
  verify_checkpoint(checkpoint);
  const CheckpointState state = load_state(checkpoint);
  const RunConfig before = parse_config(state.config, (checkpoint / "state.json").string());
  if (branch) {
    check_same_model(before, config_, checkpoint.string());
  } else {
    check_resumable(before, config_, state.step, checkpoint.string());
  }
  if (config_.total_steps() < state.step) {
    throw InputError(fmt::format("{} has {} steps behind it and the stages have only {}; more steps are needed",
                                 checkpoint.string(), state.step, config_.total_steps()));
  }
  load_tensors(checkpoint, writer_->host(), config_.model);
  writer_->upload_weights();
  writer_->upload_moments();
  finished_ = state.step;
  tokens_ = state.tokens;
  seconds_ = state.seconds;
  skipped_in_a_row_ = state.skipped_in_a_row;
  sources_ = state.loader;
  memory_.optimizer().set_updates(state.optimizer_updates);
  opening_notes_.push_back(fmt::format("continuing from {} ({} steps, {} tokens)", checkpoint.string(),
                                       format_count(finished_), format_count(tokens_)));
  check_environment(state);
  if (branch) {
    const fs::path parent = checkpoint.parent_path().parent_path() / "metrics.jsonl";
    discard_after(directory_.metrics(), directory_.discarded_metrics(), finished_);
    if (fs::exists(parent)) copy_up_to(parent, directory_.metrics(), finished_);
    return;
  }
  saved_ = finished_;
  // In this order: killed in between, the next --resume finds this checkpoint the newest and does the rest.
  set_aside_checkpoints_after(directory_.checkpoints(), finished_);
  discard_after(directory_.metrics(), directory_.discarded_metrics(), finished_);
  if (!state.evaluation_pending) return;
  const RunHistory history = read_history(directory_.metrics());
  evaluation_pending_ = history.validations.empty() || history.validations.back().step != finished_;
}

void Trainer::check_environment(const CheckpointState& state) {
  const std::string now = environment_of(backend_);
  if (state.environment == now) return;
  opening_notes_.push_back(
      fmt::format("the checkpoint was made with {}; this is {}: losses may differ in their last "
                  "digits from those of an uninterrupted run",
                  state.environment, now));
}

// ---- How it goes on ----

void Trainer::run() {
  for (const std::string& note : opening_notes_) observer_.note(note);
  last_finish_ = Clock::now();
  observer_.started(finished_, config_.total_steps());
  if (finished_ == config_.total_steps()) observer_.note("all steps are done already");
  try {
    if (evaluation_pending_) {
      enter_stage(stage_of_step(config_, finished_ - 1).stage);
      validate();
    }
    while (finished_ < config_.total_steps()) {
      begin_step();
      const auto begun = finished_ + static_cast<int64_t>(begun_.size());
      if (pauses_after(begun)) {
        finish_steps();
        after_step();
      } else if (step_.in_flight() == TrainingStep::kInFlight) {
        finish_step();
      }
    }
  } catch (const Interrupted&) {
    observer_.note("stopping: a signal came; the step in progress is dropped, the last finished one is kept");
    save_what_is_finished();
    metrics_.flush();
    throw;
  } catch (const InputError&) {  // a bad token deep in the data, a full disk
    save_what_is_finished();
    throw;
  }
  save();
  collect_save(true);
  metrics_.flush();
}

void Trainer::save_what_is_finished() {
  finish_steps();
  if (finished_ > 0) save();
  collect_save(true);
}

void Trainer::enter_stage(int64_t stage_index) {
  const StagePosition now = stage_of_step(config_, std::min(finished_, config_.total_steps() - 1));
  const bool begins = now.stage == stage_index && now.step_in_stage == 0;
  const bool is_switch = begins && stage_index > 0;
  stage_ = stage_index;
  loader_ = open_loader(config_, stage());
  validation_ = open_validation(config_, stage());
  LoaderPosition position;
  for (const DataSource& source : stage().data.train) {
    position.tokens.push_back(sources_[source.path].tokens);
    position.mixed.push_back(begins ? 0 : sources_[source.path].mixed);  // a stage brings weights of its own
  }
  loader_->seek(position);
  observer_.note(fmt::format("{} {} at step {}: {} attention, {} steps, {} sequences of {} tokens a step{}",
                             is_switch ? "switching to stage" : "stage", stage().name, finished_,
                             name_of(stage().attention), stage().steps, stage().batch.global_batch_size,
                             stage().batch.sequence_length,
                             is_switch ? "; weights, optimizer state and data position stay" : ""));
}

void Trainer::begin_step() {
  const int64_t step = finished_ + static_cast<int64_t>(begun_.size());
  const StagePosition position = stage_of_step(config_, step);
  if (position.stage != stage_) enter_stage(position.stage);
  const AttentionKind attention = attention_of_step(stage(), position.step_in_stage);
  const double learning_rate = learning_rate_of_step(config_, step);
  const auto begin = Clock::now();
  const BatchSection& batch = stage().batch;
  const auto next_windows = [&](std::span<int32_t> windows) {
    stop_.check();  // a micro-batch that is replayed as a graph calls no layer's hook
    loader_->next(batch.micro_batch_size, 0, batch.micro_batch_size, windows);
  };
  step_.begin(memory_.training_pass(stage_, attention), batch, next_windows, learning_rate);
  begun_.push_back({attention, learning_rate, loader_->position(), begin});
}

void Trainer::finish_steps() {
  while (!begun_.empty()) finish_step();
}

void Trainer::finish_step() {
  const StepResult result = step_.finish();
  const auto now = Clock::now();
  // A step begins where the one before ends, if the device had it waiting by then.
  const double elapsed = std::chrono::duration<double>(now - std::max(begun_.front().begin, last_finish_)).count();
  last_finish_ = now;
  record(result, elapsed);
  collect_save_or_warn(false);
}

void Trainer::record(const StepResult& result, double elapsed) {
  const BegunStep step = begun_.front();
  begun_.pop_front();
  ++finished_;
  tokens_ += stage().batch.tokens_per_step();
  seconds_ += elapsed;
  for (size_t i = 0; i < step.position.tokens.size(); ++i) {
    sources_[stage().data.train[i].path] = {step.position.tokens[i], step.position.mixed[i]};
  }
  skipped_in_a_row_ = result.skipped ? skipped_in_a_row_ + 1 : 0;

  StepMetrics metrics{
      finished_, stage().name, step.attention, tokens_,       result.loss, result.gradient_norm, step.learning_rate,
      0,         std::nullopt, seconds_,       result.skipped};
  metrics.tokens_per_second = static_cast<double>(stage().batch.tokens_per_step()) / elapsed;
  if (peak_flops_ > 0) {
    const double flops =
        training_flops_per_token(config_.model, config_.lighthouse, step.attention, stage().batch.sequence_length);
    metrics.mfu = flops * metrics.tokens_per_second / peak_flops_;
  }
  metrics_.append(metrics);
  observer_.step_finished(metrics);
  if (result.skipped) {
    observer_.warn(
        fmt::format("step {} was skipped: loss {}, gradient norm {}", finished_, result.loss, result.gradient_norm));
  }
  if (result.skipped && skipped_in_a_row_ >= config_.train.max_skipped_steps) {
    throw RunError(
        fmt::format("{} steps in a row were skipped because loss or gradient was not finite; the newest "
                    "checkpoint is in {}. A lower optimizer.learning_rate or a longer warm-up may help",
                    skipped_in_a_row_, directory_.checkpoints().string()));
  }
}

bool Trainer::due(int64_t step, int64_t every) const {
  return at_end_of_stage(step) || (every > 0 && step % every == 0);
}

bool Trainer::pauses_after(int64_t step) const {
  return backend_.device().kind == DeviceKind::kCpu || due(step, config_.evaluation.every) ||
         due(step, config_.checkpoint.every);
}

void Trainer::after_step() {
  if (due(finished_, config_.evaluation.every)) validate();
  if (!due(finished_, config_.checkpoint.every) || finished_ == config_.total_steps()) return;
  try {
    save();
  } catch (const InputError& error) {
    warn_of_save(error);
  }
}

bool Trainer::at_end_of_stage(int64_t step) const {
  const StagePosition position = stage_of_step(config_, step - 1);
  return position.step_in_stage + 1 == config_.stages[static_cast<size_t>(position.stage)].steps;
}

void Trainer::validate() {
  if (!validation_) return;
  evaluation_pending_ = true;
  ValidationMetrics metrics{finished_, stage().name, tokens_, seconds_, 0, 0};
  metrics.loss_dense = validation_loss_in(AttentionKind::kDense);
  const bool dense = stage().attention == AttentionKind::kDense;
  metrics.loss = dense ? metrics.loss_dense : validation_loss_in(stage().attention);
  evaluation_pending_ = false;
  metrics_.append(metrics);
  observer_.validated(metrics);
}

double Trainer::validation_loss_in(AttentionKind kind) {
  Pass& pass = memory_.evaluation_pass(stage_, kind);
  const int64_t windows = config_.evaluation.batches * pass.settings.batch;
  return validation_loss(*pass.model, memory_.weights(), *validation_, windows, pass.inputs, pass.targets, feed_,
                         backend_);
}

CheckpointState Trainer::state() const {
  CheckpointState state;
  state.step = finished_;
  state.stage = config_.stages[static_cast<size_t>(stage_of_step(config_, finished_ - 1).stage)].name;
  state.tokens = tokens_;
  state.seconds = seconds_;
  state.optimizer_updates = memory_.optimizer().updates();
  state.skipped_in_a_row = skipped_in_a_row_;
  state.end_of_stage = at_end_of_stage(finished_);
  state.evaluation_pending = evaluation_pending_;
  state.loader = sources_;
  state.seed = config_.run.seed;
  state.config = to_yaml(config_);
  state.environment = environment_of(backend_);
  return state;
}

void Trainer::save() {
  if (saved_ == finished_) return;
  collect_save_or_warn(true);  // that an older one failed is no reason to lose this one
  metrics_.flush();            // what a resumed run will not write again must be there when the checkpoint is
  step_.hold_update(writer_->begin(state()));
  saved_ = saving_ = finished_;
  collect_save(false);
}

void Trainer::collect_save(bool wait) {
  try {
    const auto path = writer_->finished(wait);
    if (!path) return;
    observer_.note(fmt::format("checkpoint {}", path->string()));
    prune_checkpoints(directory_.checkpoints(), config_.checkpoint.keep);
  } catch (const InputError&) {
    saved_ = -1;
    throw;
  }
}

void Trainer::collect_save_or_warn(bool wait) {
  try {
    collect_save(wait);
  } catch (const InputError& error) {
    warn_of_save(error);
  }
}

void Trainer::warn_of_save(const InputError& error) {
  observer_.warn(fmt::format("no checkpoint at step {}: {}. Training goes on", saving_, error.what()));
}

}  // namespace lighthouse
