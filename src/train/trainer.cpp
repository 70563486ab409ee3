#include "lighthouse/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>

#include "lighthouse/config/load.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/dist/partition.h"
#include "lighthouse/eval/validation.h"
#include "lighthouse/model/cost.h"
#include "lighthouse/train/data_use.h"
#include "lighthouse/train/schedule.h"
#include "run_checks.h"
#include "stage_data.h"

namespace lighthouse {
namespace {

/// The config, if no rank refuses it.
RunConfig checked(const RunConfig& config, Backend& backend, const Ranks& ranks) {
  check_run(config, backend, ranks);
  return config;
}

std::string bytes_of(const std::vector<double>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double)};
}

std::vector<double> doubles_of(const std::string& bytes) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(double));
  return numbers;
}

/// What decides the bits of a run besides its config: this very program, what it computes with, and how many.
std::string environment_of(const Backend& backend, const Ranks& ranks) {
  std::string one =
      fmt::format("program {}; g++ {}; {}", checksum_of_file("/proc/self/exe"), __VERSION__, backend.description());
  if (!ranks.world) return one;
  return fmt::format("{}; ranks {}, {}", one, ranks.mesh.size(), ranks.world->description());
}

/// Operations per second that the device could do, or 0 if that is not known.
double peak_flops(const RunConfig& config, const Backend& backend) {
  return config.hardware.peak_tflops > 0 ? config.hardware.peak_tflops * 1e12 : backend.hardware().flops;
}

}  // namespace

Trainer::Trainer(const RunConfig& config, const StartOptions& start, Backend& backend, TrainingObserver& observer,
                 const Ranks& ranks)
    : config_(checked(config, backend, ranks)),
      backend_(backend),
      observer_(observer),
      ranks_(ranks),
      memory_(config, backend, ranks.mesh),
      parallel_(ranks.data ? std::make_unique<DataParallel>(memory_, *ranks.data, backend) : nullptr),
      feed_(backend, memory_.largest_batch()),
      step_(memory_, feed_, backend, parallel_.get()),
      directory_(open_directory(config, ranks)),
      metrics_(directory_.metrics()),
      tokenizer_(tokenizer_digest(config.model.tokenizer)),
      environment_(environment_of(backend, ranks)),
      peak_flops_(peak_flops(config, backend) * ranks.mesh.size()) {
  allocate_memory();
  data_ = fingerprint_data(group(), config_);
  install_stop_handlers();
  RunStart how(config_, directory_, group(), memory_, *writer_, data_, environment_);
  at_ = how.start(start);
  saved_ = how.saved();
  opening_notes_ = how.notes();
  opening_warnings_ = how.warnings();
  if (!directory_.why_unlocked().empty()) {
    opening_warnings_.push_back(fmt::format(
        "{} cannot be locked ({}), so a second run in the same folder would not be noticed; start one at a time",
        directory_.path().string(), directory_.why_unlocked()));
  }
  if (!is_rank0()) return;
  report_data_use();
  make_directories(directory_.checkpoints());
  remove_partial_checkpoints(directory_.checkpoints());
  directory_.remove_partial_files();
  write_file(directory_.config(), to_yaml(config_));
}

void Trainer::report_data_use() {
  for (const SourceUse& source : data_use(config_)) {
    (source.wastes() ? opening_warnings_ : opening_notes_).push_back(source.str());
  }
}

void Trainer::allocate_memory() {
  on_all_ranks(group(), "the memory of all ranks", [&] {
    if (is_rank0()) check_disk(directory_, config_.model);
    arena_ = Arena(backend_.allocate(planned_bytes(config_, backend_, ranks_.mesh)));
    memory_.lay_out(arena_);
    writer_ = std::make_unique<CheckpointWriter>(memory_, config_, backend_, directory_.checkpoints(), group(),
                                                 parallel_.get());
    return std::string();
  });
}

void Trainer::install_stop_handlers() {
  if (ranks_.alone()) {
    memory_.set_layer_hook([this](int64_t) { stop_.check(); });
  } else {
    memory_.set_layer_hook([this](int64_t) { group().check("a sum of gradients"); });
    step_.set_stop_request([this] { return stop_.pending() != 0; });
  }
}

void Trainer::note(const std::string& text) {
  if (is_rank0()) observer_.note(text);
}

void Trainer::warn(const std::string& text) {
  if (is_rank0()) observer_.warn(text);
}

void Trainer::run() {
  for (const std::string& text : opening_warnings_) warn(text);
  for (const std::string& text : opening_notes_) note(text);
  last_finish_ = Clock::now();
  if (is_rank0()) observer_.started(at_.steps, config_.total_steps());
  if (at_.steps == config_.total_steps()) note("all steps are done already");
  try {
    run_steps();
  } catch (const Interrupted&) {
    note(ranks_.alone() ? "stopping: a signal came; the step in progress is dropped, the last finished one is kept"
                        : "stopping: a signal came; all ranks have finished the step in progress");
    save_finished_steps();
    if (is_rank0()) metrics_.flush();
    throw;
  } catch (const AllRanksInputError&) {
    try {
      save_finished_steps();
    } catch (const InputError& error) {
      warn_save_failed(error);  // what stopped the run is told last
    }
    throw;
  } catch (const InputError&) {                 // a bad token deep in the data, a full disk
    if (ranks_.alone()) save_finished_steps();  // others may be in the middle of a step
    throw;
  }
  save();
  finish_save(true);
  if (is_rank0()) metrics_.flush();
}

void Trainer::run_steps() {
  if (at_.evaluation_pending) {
    enter_stage(stage_of_step(config_, at_.steps - 1).stage);
    validate();
  }
  while (at_.steps < config_.total_steps() && !stop_agreed_) {
    begin_step();
    const auto begun = at_.steps + static_cast<int64_t>(begun_.size());
    if (pauses_after(begun)) {
      finish_steps();
      after_step();
    } else if (step_.in_flight() == TrainingStep::kInFlight) {
      finish_step();
    }
  }
  if (!stop_agreed_) return;
  finish_steps();
  on_all_ranks(group(), "the reading of data", [&] {
    step_.check_source();
    return std::string();
  });
  throw Interrupted(stop_.pending() != 0 ? stop_.pending() : SIGTERM);
}

void Trainer::save_finished_steps() {
  finish_steps();
  if (at_.steps > 0) save();
  finish_save(true);
}

void Trainer::enter_stage(int64_t stage_index) {
  const StagePosition now = stage_of_step(config_, std::min(at_.steps, config_.total_steps() - 1));
  const bool begins = now.stage == stage_index && now.step_in_stage == 0;
  const bool is_switch = begins && stage_index > 0;
  stage_ = stage_index;
  on_all_ranks(group(), "the data of a stage", [&] {
    open_data(begins);
    return std::string();
  });
  note(fmt::format("{} {} at step {}: {} attention, {} steps, {} sequences of {} tokens a step{}",
                   is_switch ? "switching to stage" : "stage", stage().name, at_.steps, name_of(stage().attention),
                   stage().steps, stage().batch.global_batch_size, stage().batch.sequence_length,
                   is_switch ? "; weights, optimizer state and data position stay" : ""));
}

void Trainer::open_data(bool stage_begins) {
  loader_ = open_loader(config_, stage());
  validation_ = open_validation(config_, stage());
  LoaderPosition position;
  for (const DataSource& source : stage().data.train) {
    position.tokens.push_back(at_.sources[source.path].tokens);
    position.mixed.push_back(stage_begins ? 0 : at_.sources[source.path].mixed);  // a stage brings weights of its own
  }
  loader_->seek(position);
}

void Trainer::begin_step() {
  const int64_t step = at_.steps + static_cast<int64_t>(begun_.size());
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
  const IndexRange share = split_evenly(batch.micro_batches(), mesh.data_size(), mesh.data_rank());
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
  abandoned_ |= result.abandoned;
  if (abandoned_) return begun_.pop_front();
  record(result, elapsed);
  finish_save_or_warn(false);
}

void Trainer::record(const StepResult& result, double elapsed) {
  const BegunStep step = begun_.front();
  begun_.pop_front();
  ++at_.steps;
  at_.tokens += stage().batch.tokens_per_step();
  at_.seconds += elapsed;
  for (size_t i = 0; i < step.position.tokens.size(); ++i) {
    at_.sources[stage().data.train[i].path] = {step.position.tokens[i], step.position.mixed[i]};
  }
  at_.skipped_in_a_row = result.skipped ? at_.skipped_in_a_row + 1 : 0;
  if (is_rank0()) {
    const StepMetrics metrics = metrics_of(step, result, elapsed);
    metrics_.append(metrics);
    observer_.step_finished(metrics);
  }
  if (result.skipped) report_skipped_step(result);
}

StepMetrics Trainer::metrics_of(const BegunStep& step, const StepResult& result, double elapsed) const {
  StepMetrics metrics;
  metrics.step = at_.steps;
  metrics.stage = stage().name;
  metrics.attention = step.attention;
  metrics.tokens = at_.tokens;
  metrics.loss = result.loss;
  metrics.gradient_norm = result.gradient_norm;
  metrics.learning_rate = step.learning_rate;
  metrics.tokens_per_second = static_cast<double>(stage().batch.tokens_per_step()) / elapsed;
  metrics.seconds = at_.seconds;
  metrics.skipped = result.skipped;
  if (peak_flops_ <= 0) return metrics;
  const double flops =
      training_flops_per_token(config_.model, config_.attention, step.attention, stage().batch.sequence_length);
  metrics.mfu = flops * metrics.tokens_per_second / peak_flops_;
  return metrics;
}

void Trainer::report_skipped_step(const StepResult& result) {
  warn(fmt::format("step {} was skipped: loss {}, gradient norm {}", at_.steps, result.loss, result.gradient_norm));
  if (at_.skipped_in_a_row < config_.train.max_skipped_steps) return;
  throw RunError(
      fmt::format("{} steps in a row were skipped because loss or gradient was not finite; the newest "
                  "checkpoint is in {}. A lower optimizer.learning_rate or a longer warm-up may help",
                  at_.skipped_in_a_row, directory_.checkpoints().string()));
}

bool Trainer::due(int64_t step, int64_t every) const {
  return at_end_of_stage(step) || (every > 0 && step % every == 0);
}

bool Trainer::pauses_after(int64_t step) const {
  return backend_.device().kind == DeviceKind::kCpu || due(step, config_.evaluation.every) ||
         due(step, config_.checkpoint.every);
}

void Trainer::after_step() {
  if (abandoned_) return;
  if (due(at_.steps, config_.evaluation.every)) validate();
  if (stop_agreed_) return;  // it is saved in a moment
  if (!due(at_.steps, config_.checkpoint.every) || at_.steps == config_.total_steps()) return;
  try {
    save();
  } catch (const InputError& error) {
    warn_save_failed(error);
  }
}

bool Trainer::at_end_of_stage(int64_t step) const {
  const StagePosition position = stage_of_step(config_, step - 1);
  return position.step_in_stage + 1 == config_.stages[static_cast<size_t>(position.stage)].steps;
}

void Trainer::validate() {
  if (!validation_) return;
  at_.evaluation_pending = true;
  if (stop_agreed_) return;  // after the run is resumed
  ValidationMetrics metrics{at_.steps, stage().name, at_.tokens, at_.seconds, 0, 0};
  metrics.loss_dense = validation_loss_in(AttentionKind::kDense);
  const bool dense = stage().attention == AttentionKind::kDense;
  metrics.loss = dense ? metrics.loss_dense : validation_loss_in(stage().attention);
  at_.evaluation_pending = false;
  if (!is_rank0()) return;
  metrics_.append(metrics);
  observer_.validated(metrics);
}

double Trainer::validation_loss_in(AttentionKind kind) {
  Pass& pass = memory_.evaluation_pass(stage_, kind);
  const int64_t batch = pass.settings.batch;
  const int64_t windows = std::min(config_.evaluation.batches * batch, validation_->windows());
  // Each rank takes a part, and all add up the windows' losses in the same order.
  const IndexRange share =
      split_evenly((windows + batch - 1) / batch, ranks_.mesh.data_size(), ranks_.mesh.data_rank());
  const auto mine = [&] {
    return bytes_of(window_losses(*pass.model, memory_.weights(), *validation_, windows, share.begin * batch,
                                  std::min(share.end * batch, windows), pass.inputs, pass.targets, feed_, backend_));
  };
  double sum = 0;
  for (const std::string& part : on_all_ranks(group(), "an evaluation", mine)) {
    for (const double loss : doubles_of(part)) sum += loss;
  }
  return sum / static_cast<double>(windows * pass.settings.sequence_length);
}

CheckpointState Trainer::state() const {
  CheckpointState state;
  state.step = at_.steps;
  state.stage = config_.stages[static_cast<size_t>(stage_of_step(config_, at_.steps - 1).stage)].name;
  state.tokens = at_.tokens;
  state.seconds = at_.seconds;
  state.optimizer_updates = memory_.optimizer().updates();
  state.skipped_in_a_row = at_.skipped_in_a_row;
  state.end_of_stage = at_end_of_stage(at_.steps);
  state.evaluation_pending = at_.evaluation_pending;
  state.loader = at_.sources;
  state.data = data_;
  state.seed = config_.run.seed;
  state.config = to_yaml(config_);
  state.tokenizer = tokenizer_;
  state.environment = environment_;
  return state;
}

void Trainer::save() {
  // That an older one failed is no reason to lose this one; and ranks know of it only together.
  if (saved_ != at_.steps || !ranks_.alone()) finish_save_or_warn(true);
  if (saved_ == at_.steps) return;
  saving_ = at_.steps;
  // What a resumed run will not write again must be there when the checkpoint is.
  on_all_ranks(group(), "the metrics before a checkpoint", [&] {
    if (is_rank0()) metrics_.flush();
    return std::string();
  });
  const Event copied = writer_->begin(state());
  step_.delay_update_until(copied);
  if (memory_.master_is_sharded()) step_.delay_gradients_until(copied);
  saved_ = at_.steps;
  finish_save(false);
}

void Trainer::finish_save(bool wait) {
  try {
    const auto path = writer_->finished(wait);
    if (!path) return;
    note(fmt::format("checkpoint {}", path->string()));
    if (is_rank0()) prune_checkpoints(directory_.checkpoints(), config_.checkpoint.keep);
  } catch (const InputError&) {
    saved_ = -1;
    throw;
  }
}

void Trainer::finish_save_or_warn(bool wait) {
  try {
    finish_save(wait);
  } catch (const InputError& error) {
    warn_save_failed(error);
  }
}

void Trainer::warn_save_failed(const InputError& error) {
  warn(fmt::format("no checkpoint at step {}: {}. Training goes on", saving_, error.what()));
}

}  // namespace lighthouse
