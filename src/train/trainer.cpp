#include "lighthouse/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <set>
#include <sstream>

#include "lighthouse/config/load.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/dist/partition.h"
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
void check_run(const RunConfig& config, Backend& backend, const Mesh& mesh) {
  for (const StageSection& stage : config.stages) {
    check_share(stage, mesh);
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
  check_memory(config, backend, available_bytes(config, backend), mesh);
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

RunConfig checked(const RunConfig& config, Backend& backend, const Ranks& ranks) {
  together(*ranks.group, "the checks of the config", [&] {
    check_run(config, backend, ranks.mesh);
    return std::string();
  });
  return config;
}

/// Rank 0 first.
RunDirectory open_directory(const RunConfig& config, const Ranks& ranks) {
  std::optional<RunDirectory> directory;
  const auto open = [&](bool of_leader) {
    together(*ranks.group, "the run's folder", [&] {
      if (ranks.leads() && of_leader) directory.emplace(config.run.directory);
      if (!ranks.leads() && !of_leader) directory.emplace(RunDirectory::of_leader(config.run.directory));
      return std::string();
    });
  };
  open(true);
  if (!ranks.alone()) open(false);
  return std::move(*directory);
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

/// What a rank trains on: names and sizes of shards, and their first and last tokens.
std::string data_of(const RunConfig& config) {
  std::string text;
  std::set<std::string> patterns;
  for (const StageSection& stage : config.stages) {
    for (const DataSource& source : stage.data.train) patterns.insert(source.path);
    if (!stage.data.validation.empty()) patterns.insert(stage.data.validation);
  }
  for (const std::string& pattern : patterns) {
    for (const fs::path& path : match_files(pattern)) {
      const MappedFile file(path);
      const auto bytes = file.bytes();
      constexpr size_t kLooked = 64 << 10;
      const std::string ends = checksum_of(bytes.first(std::min(bytes.size(), kLooked))) +
                               checksum_of(bytes.last(std::min(bytes.size(), kLooked)));
      text += fmt::format("{} of {} bytes, {}\n", path.filename().string(), bytes.size(), checksum_of(ends));
    }
  }
  return text;
}

std::string bytes_of(const std::vector<double>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double)};
}

std::vector<double> doubles_of(const std::string& bytes) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(double));
  return numbers;
}

/// The first line that differs.
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

/// Operations per second that the device could do, or 0 if that is not known.
double peak_flops(const RunConfig& config, const Backend& backend) {
  return config.hardware.peak_tflops > 0 ? config.hardware.peak_tflops * 1e12 : backend.hardware().flops;
}

}  // namespace

// ---- How it starts ----

Trainer::Trainer(const RunConfig& config, const StartOptions& start, Backend& backend, TrainingObserver& observer,
                 const Ranks& ranks)
    : config_(checked(config, backend, ranks)),
      backend_(backend),
      observer_(observer),
      ranks_(ranks),
      memory_(config, backend, ranks.mesh),
      parallel_(ranks.communicator ? std::make_unique<DataParallel>(memory_, *ranks.communicator, backend) : nullptr),
      feed_(backend, memory_.largest_batch()),
      step_(memory_, feed_, backend, parallel_.get()),
      directory_(open_directory(config, ranks)),
      metrics_(directory_.metrics()),
      peak_flops_(peak_flops(config, backend) * ranks.mesh.size()) {
  together(group(), "the memory of all ranks", [&] {
    if (leads()) check_disk(directory_.path(), config.model);
    arena_ = Arena(backend.allocate(planned_bytes(config, backend, ranks.mesh)));
    memory_.lay_out(arena_);
    writer_ = std::make_unique<CheckpointWriter>(memory_, config_, backend_, directory_.checkpoints(), group(),
                                                 parallel_.get());
    return std::string();
  });
  check_data_of_ranks();
  if (ranks_.alone()) {
    memory_.set_layer_hook([this](int64_t) { stop_.check(); });
  } else {
    memory_.set_layer_hook([this](int64_t) { group().check("a sum of gradients"); });
    step_.set_stop_vote([this] { return stop_.pending() != 0; });
  }
  choose_start(start);
  if (!leads()) return;
  make_directories(directory_.checkpoints());
  remove_partial_checkpoints(directory_.checkpoints());
  directory_.remove_partial_files();
  write_file(directory_.config(), to_yaml(config_));
}

void Trainer::check_data_of_ranks() {
  if (ranks_.alone()) return;
  check_same(group(), data_of(config_), "data", different_line);
}

void Trainer::choose_start(const StartOptions& start) {
  const std::string of_leader = together(group(), "the choice of a checkpoint", [&] {
                                  return leads() ? checkpoint_to_start_from(start).string() : std::string();
                                }).front();
  const fs::path checkpoint = of_leader;
  if (checkpoint.empty()) return start_afresh();
  continue_from(checkpoint, checkpoint.parent_path() != directory_.checkpoints());
}

fs::path Trainer::checkpoint_to_start_from(const StartOptions& start) const {
  if (start.resume_from) return checkpoint_of(*start.resume_from);
  if (start.resume && !list_checkpoints(directory_.checkpoints()).empty()) return newest_checkpoint();
  if (!start.resume && directory_.holds_a_run()) {
    throw InputError(
        fmt::format("{} holds a run already; --resume continues it, another run.directory starts a new one",
                    directory_.path().string()));
  }
  return config_.run.branch_from.empty() ? fs::path() : find_checkpoint(config_.run.branch_from);
}

void Trainer::verify(const fs::path& checkpoint) const {
  together(group(), "the verification of a checkpoint", [&] {
    verify_checkpoint(checkpoint, group().rank(), group().size());
    return std::string();
  });
}

void Trainer::start_afresh() {
  fs::path checkpoint;
  if (!config_.run.init_from.empty()) {
    checkpoint = find_checkpoint(config_.run.init_from);
    verify(checkpoint);
    check_same_model(parse_config(load_state(checkpoint).config, checkpoint.string()), config_, checkpoint.string());
    opening_notes_.push_back(fmt::format("starting from the weights of {}", checkpoint.string()));
  }
  writer_->set_weights([&](const Parameters& weights) {
    initialize(weights, config_.model, static_cast<uint64_t>(config_.run.seed));
    if (!checkpoint.empty()) load_weights(checkpoint, weights, config_.model);
  });
  if (leads()) discard_after(directory_.metrics(), directory_.discarded_metrics(), 0);
}

fs::path Trainer::newest_checkpoint() const {
  const auto entries = list_checkpoints(directory_.checkpoints());
  try {
    load_state(entries.back().path);
    // Of several ranks each looks at a part of the files, later.
    if (ranks_.alone()) verify_checkpoint(entries.back().path);
  } catch (const InputError& error) {
    const std::vector<CheckpointEntry> others{entries.begin(), entries.end() - 1};
    throw InputError(
        fmt::format("the newest checkpoint cannot be used: {}. --resume-from STEP starts from another one "
                    "({}){}",
                    error.what(), steps_of(others), others.empty() ? "; another run.directory starts a new run" : ""));
  }
  return entries.back().path;
}

fs::path Trainer::checkpoint_of(int64_t step) const {
  const auto entries = list_checkpoints(directory_.checkpoints());
  for (const CheckpointEntry& entry : entries) {
    if (entry.step == step) return entry.path;
  }
  throw InputError(
      fmt::format("{} has no checkpoint of step {}; {}", directory_.path().string(), step, steps_of(entries)));
}

void Trainer::continue_from(const fs::path& checkpoint, bool branch) {
  verify(checkpoint);
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
  writer_->set_weights([&](const Parameters& weights) { load_weights(checkpoint, weights, config_.model); });
  writer_->set_moments([&](const Moments& moments) { load_moments(checkpoint, moments, config_.model); });
  finished_ = state.step;
  tokens_ = state.tokens;
  seconds_ = state.seconds;
  skipped_in_a_row_ = state.skipped_in_a_row;
  sources_ = state.loader;
  memory_.optimizer().set_updates(state.optimizer_updates);
  opening_notes_.push_back(fmt::format("continuing from {} ({} steps, {} tokens)", checkpoint.string(),
                                       format_count(finished_), format_count(tokens_)));
  check_environment(state);
  if (!branch) saved_ = finished_;
  group().barrier("the reading of a checkpoint");
  take_over_directory(checkpoint, branch, state.evaluation_pending);
}

void Trainer::take_over_directory(const fs::path& checkpoint, bool branch, bool evaluation_pending) {
  if (leads() && branch) {
    const fs::path parent = checkpoint.parent_path().parent_path() / "metrics.jsonl";
    discard_after(directory_.metrics(), directory_.discarded_metrics(), finished_);
    if (fs::exists(parent)) copy_up_to(parent, directory_.metrics(), finished_);
  } else if (leads()) {
    // In this order: killed in between, the next --resume finds this checkpoint the newest and does the rest.
    set_aside_checkpoints_after(directory_.checkpoints(), finished_);
    discard_after(directory_.metrics(), directory_.discarded_metrics(), finished_);
    if (evaluation_pending) {
      const RunHistory history = read_history(directory_.metrics());
      evaluation_pending_ = history.validations.empty() || history.validations.back().step != finished_;
    }
  }
  evaluation_pending_ = !group().of_leader(evaluation_pending_ ? "pending" : "", "the start of the run").empty();
}

/// What decides the bits of a run besides its config: this very program, what it computes with, and how many.
std::string Trainer::environment() const {
  std::string one =
      fmt::format("program {}; g++ {}; {}", checksum_of_file("/proc/self/exe"), __VERSION__, backend_.description());
  if (!ranks_.communicator) return one;
  return fmt::format("{}; ranks {}, {}", one, ranks_.mesh.size(), ranks_.communicator->description());
}

void Trainer::note(const std::string& text) {
  if (leads()) observer_.note(text);
}

void Trainer::warn(const std::string& text) {
  if (leads()) observer_.warn(text);
}

void Trainer::check_environment(const CheckpointState& state) {
  const std::string now = environment();
  if (state.environment == now) return;
  opening_notes_.push_back(
      fmt::format("the checkpoint was made with {}; this is {}: losses may differ in their last "
                  "digits from those of an uninterrupted run",
                  state.environment, now));
}

// ---- How it goes on ----

void Trainer::run() {
  for (const std::string& text : opening_notes_) note(text);
  last_finish_ = Clock::now();
  if (leads()) observer_.started(finished_, config_.total_steps());
  if (finished_ == config_.total_steps()) note("all steps are done already");
  try {
    if (evaluation_pending_) {
      enter_stage(stage_of_step(config_, finished_ - 1).stage);
      validate();
    }
    while (finished_ < config_.total_steps() && !stop_agreed_) {
      begin_step();
      const auto begun = finished_ + static_cast<int64_t>(begun_.size());
      if (pauses_after(begun)) {
        finish_steps();
        after_step();
      } else if (step_.in_flight() == TrainingStep::kInFlight) {
        finish_step();
      }
    }
    if (stop_agreed_) throw Interrupted(stop_.pending() != 0 ? stop_.pending() : SIGTERM);
  } catch (const Interrupted&) {
    note(ranks_.alone() ? "stopping: a signal came; the step in progress is dropped, the last finished one is kept"
                        : "stopping: a signal came; all ranks have finished the step in progress");
    save_what_is_finished();
    if (leads()) metrics_.flush();
    throw;
  } catch (const InputError&) {                   // a bad token deep in the data, a full disk
    if (ranks_.alone()) save_what_is_finished();  // others may be in the middle of a step
    throw;
  }
  save();
  collect_save(true);
  if (leads()) metrics_.flush();
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
  note(fmt::format("{} {} at step {}: {} attention, {} steps, {} sequences of {} tokens a step{}",
                   is_switch ? "switching to stage" : "stage", stage().name, finished_, name_of(stage().attention),
                   stage().steps, stage().batch.global_batch_size, stage().batch.sequence_length,
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
    if (ranks_.alone()) stop_.check();  // a micro-batch that is replayed as a graph calls no layer's hook
    loader_->next(batch.micro_batch_size, 0, batch.micro_batch_size, windows);
  };
  const Mesh& mesh = ranks_.mesh;
  const Piece share = share_of(batch.micro_batches(), mesh.data_size(), mesh.data_rank());
  loader_->next(share.begin * batch.micro_batch_size, 0, 0, {});  // other ranks'
  step_.begin(memory_.training_pass(stage_, attention), batch, next_windows, learning_rate);
  loader_->next((batch.micro_batches() - share.end) * batch.micro_batch_size, 0, 0, {});
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
  stop_agreed_ |= result.stop;
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
  if (leads()) {
    metrics_.append(metrics);
    observer_.step_finished(metrics);
  }
  if (result.skipped) {
    warn(fmt::format("step {} was skipped: loss {}, gradient norm {}", finished_, result.loss, result.gradient_norm));
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
  if (stop_agreed_) return;  // it is saved in a moment
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
  if (stop_agreed_) return;  // after the run is resumed
  ValidationMetrics metrics{finished_, stage().name, tokens_, seconds_, 0, 0};
  metrics.loss_dense = validation_loss_in(AttentionKind::kDense);
  const bool dense = stage().attention == AttentionKind::kDense;
  metrics.loss = dense ? metrics.loss_dense : validation_loss_in(stage().attention);
  evaluation_pending_ = false;
  if (!leads()) return;
  metrics_.append(metrics);
  observer_.validated(metrics);
}

double Trainer::validation_loss_in(AttentionKind kind) {
  Pass& pass = memory_.evaluation_pass(stage_, kind);
  const int64_t batch = pass.settings.batch;
  const int64_t windows = std::min(config_.evaluation.batches * batch, validation_->windows());
  // Each rank takes a part, and all add up the windows' losses in the same order.
  const Piece share = share_of((windows + batch - 1) / batch, ranks_.mesh.data_size(), ranks_.mesh.data_rank());
  const std::vector<double> mine =
      window_losses(*pass.model, memory_.weights(), *validation_, windows, share.begin * batch,
                    std::min(share.end * batch, windows), pass.inputs, pass.targets, feed_, backend_);
  double sum = 0;
  for (const std::string& part : group().gather(bytes_of(mine), "an evaluation")) {
    for (const double loss : doubles_of(part)) sum += loss;
  }
  return sum / static_cast<double>(windows * pass.settings.sequence_length);
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
  state.environment = environment();
  return state;
}

void Trainer::save() {
  // That an older one failed is no reason to lose this one; and ranks know of it only together.
  if (saved_ != finished_ || !ranks_.alone()) collect_save_or_warn(true);
  if (saved_ == finished_) return;
  // What a resumed run will not write again must be there when the checkpoint is.
  together(group(), "the metrics before a checkpoint", [&] {
    if (leads()) metrics_.flush();
    return std::string();
  });
  const Event copied = writer_->begin(state());
  step_.hold_update(copied);
  if (memory_.master_is_shared_out()) step_.hold_gradients(copied);
  saved_ = saving_ = finished_;
  collect_save(false);
}

void Trainer::collect_save(bool wait) {
  try {
    const auto path = writer_->finished(wait);
    if (!path) return;
    note(fmt::format("checkpoint {}", path->string()));
    if (leads()) prune_checkpoints(directory_.checkpoints(), config_.checkpoint.keep);
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
  warn(fmt::format("no checkpoint at step {}: {}. Training goes on", saving_, error.what()));
}

}  // namespace lighthouse
