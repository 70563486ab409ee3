#include "lighthouse/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/model/cost.h"
#include "lighthouse/train/data_use.h"
#include "lighthouse/train/memory_plan.h"
#include "lighthouse/train/schedule.h"
#include "run_checks.h"

namespace lighthouse {
namespace {

/// Operations per second that all ranks' devices can do, by their data sheet; 0 if unknown.
double peak_flops(const RunConfig& config, const Backend& backend, const Ranks& ranks) {
  const double one = config.hardware.peak_tflops > 0 ? 1e12 * config.hardware.peak_tflops : backend.hardware().flops;
  return one * ranks.mesh.size();
}

}  // namespace

Trainer::Trainer(const RunConfig& config, const StartOptions& options, Backend& backend, TrainingObserver& observer,
                 const Ranks& ranks)
    : config_(checked_config(config, backend, ranks)),
      backend_(backend),
      ranks_(ranks),
      memory_(config_, backend, ranks.mesh),
      parallel_(ranks.data ? std::make_unique<DataParallel>(memory_, *ranks.data, backend) : nullptr),
      feed_(backend, memory_.largest_batch()),
      step_(memory_, feed_, backend, parallel_.get()),
      directory_(open_directory(config, ranks)),
      reporter_(ranks.is_rank0(), directory_.metrics(), observer),
      data_(config_, ranks.mesh),
      validator_(config_, memory_, feed_, backend, ranks_),
      peak_flops_(peak_flops(config, backend, ranks)) {
  allocate_memory();
  provenance_ = provenance_of(config_, backend, ranks);
  install_stop_handlers();
  start(options);
}

void Trainer::allocate_memory() {
  on_all_ranks(*ranks_.group, "the memory of all ranks", [&] {
    if (ranks_.is_rank0()) check_disk(directory_, memory_.optimizer(), config_.model);
    arena_ = Arena(backend_.allocate(planned_bytes(config_, backend_, ranks_.mesh)));
    memory_.lay_out(arena_);
    checkpoints_ = std::make_unique<RunCheckpoints>(config_, provenance_, directory_, backend_, memory_, step_,
                                                    parallel_.get(), *ranks_.group, reporter_);
    return std::string();
  });
}

void Trainer::install_stop_handlers() {
  if (ranks_.alone()) {
    memory_.add_layer_hook([this](int64_t) { stop_.check(); });
  } else {
    memory_.add_layer_hook([this](int64_t) { ranks_.group->check("a sum of gradients"); });
    step_.set_stop_request([this] { return stop_.pending() != 0; });
  }
}

void Trainer::start(const StartOptions& options) {
  RunStart how(config_, provenance_, directory_, *ranks_.group, memory_, checkpoints_->writer(), reporter_);
  position_ = how.start(options);
  checkpoints_->set_saved(how.saved());
  if (!directory_.why_unlocked().empty()) {
    reporter_.warn(fmt::format(
        "{} cannot be locked ({}), so a second run in the same folder would not be noticed; start one at a time",
        directory_.path().string(), directory_.why_unlocked()));
  }
  if (!ranks_.is_rank0()) return;
  for (const SourceUse& source : data_use(config_)) {
    source.wastes() ? reporter_.warn(source.str()) : reporter_.note(source.str());
  }
  make_directories(directory_.checkpoints());
  remove_partial_checkpoints(directory_.checkpoints());
  directory_.remove_partial_files();
  write_file(directory_.config(), to_yaml(config_));
}

void Trainer::run() {
  reporter_.begin(position_.steps, config_.total_steps());
  if (position_.steps == config_.total_steps()) reporter_.note("all steps have been made already");
  last_finish_ = Clock::now();
  try {
    run_steps();
  } catch (const Interrupted&) {
    reporter_.note(ranks_.alone()
                       ? "stopping on a signal; the step in progress is dropped, the last finished one is kept"
                       : "stopping on a signal; all ranks have finished the step in progress");
    save_finished_steps();
    reporter_.flush();
    throw;
  } catch (const AllRanksInputError&) {
    try {
      save_finished_steps();
    } catch (const InputError& error) {
      checkpoints_->warn_failed(error);  // the error that stopped the run comes last
    }
    throw;
  } catch (const InputError&) {
    if (ranks_.alone()) save_finished_steps();  // other ranks may be in the middle of a step
    throw;
  }
  checkpoints_->save(position_);
  checkpoints_->finish();
  reporter_.flush();
}

void Trainer::run_steps() {
  if (position_.evaluation_pending) {
    enter_stage(stage_of_step(config_, position_.steps - 1).stage);
    validate();
  }
  while (position_.steps < config_.total_steps() && !stopping_) {
    begin_step();
    if (needs_weights_after(position_.steps + std::ssize(pending_))) {
      finish_steps();
      after_step();
    } else if (step_.in_flight() == TrainingStep::kInFlight) {
      finish_step();
    }
  }
  if (stopping_) stop_together();
}

void Trainer::enter_stage(int64_t stage_index) {
  const StagePosition next = stage_of_step(config_, std::min(position_.steps, config_.total_steps() - 1));
  const bool begins = next.stage == stage_index && next.step_in_stage == 0;
  const bool is_switch = begins && stage_index > 0;
  stage_ = stage_index;
  on_all_ranks(*ranks_.group, "the data of a stage", [&] {
    data_.open(stage_, position_.sources, begins);
    validator_.open(stage_);
    return std::string();
  });
  reporter_.note(fmt::format("{} {} at step {}: {} attention, {} steps, {} sequences of {} tokens a step{}",
                             is_switch ? "switching to stage" : "stage", stage().name, position_.steps,
                             name_of(stage().attention), stage().steps, stage().batch.global_batch_size,
                             stage().batch.sequence_length,
                             is_switch ? "; weights, optimizer state and data position stay" : ""));
}

void Trainer::begin_step() {
  const int64_t step = position_.steps + std::ssize(pending_);
  const StagePosition place = stage_of_step(config_, step);
  if (place.stage != stage_) enter_stage(place.stage);
  const AttentionKind attention = attention_of_step(stage(), place.step_in_stage);
  const double learning_rate = learning_rate_of_step(config_, step);
  const auto begin = Clock::now();
  const auto next_windows = [&](std::span<int32_t> windows) {
    if (ranks_.alone()) stop_.check();  // a micro-batch that runs as a graph does not call the layer hook
    data_.next(windows);
  };
  data_.begin_step();
  step_.begin(memory_.training_pass(stage_, attention), stage().batch, next_windows, learning_rate);
  data_.end_step();
  pending_.push_back({attention, learning_rate, data_.progress(), begin});
}

void Trainer::finish_steps() {
  while (!pending_.empty()) finish_step();
}

void Trainer::finish_step() {
  const StepResult result = step_.finish();
  const PendingStep step = std::move(pending_.front());
  pending_.pop_front();
  const auto now = Clock::now();
  // The device starts a step when it has finished the previous one, or when the step is enqueued if that is later.
  const double seconds = std::chrono::duration<double>(now - std::max(step.begin, last_finish_)).count();
  last_finish_ = now;
  stopping_ |= result.stop;
  abandoned_ |= result.abandoned;
  if (abandoned_) return;
  record(step, result, seconds);
  checkpoints_->poll();
}

void Trainer::record(const PendingStep& step, const StepResult& result, double seconds) {
  ++position_.steps;
  position_.tokens += stage().batch.tokens_per_step();
  position_.seconds += seconds;
  for (const auto& [path, progress] : step.progress) position_.sources[path] = progress;
  position_.skipped_in_a_row = result.skipped ? position_.skipped_in_a_row + 1 : 0;
  reporter_.step_finished(metrics_of(step, result, seconds));
  if (result.skipped) report_skipped_step(result);
}

StepMetrics Trainer::metrics_of(const PendingStep& step, const StepResult& result, double seconds) const {
  StepMetrics metrics;
  metrics.step = position_.steps;
  metrics.stage = stage().name;
  metrics.attention = step.attention;
  metrics.tokens = position_.tokens;
  metrics.loss = result.loss;
  metrics.gradient_norm = result.gradient_norm;
  metrics.learning_rate = step.learning_rate;
  metrics.tokens_per_second = static_cast<double>(stage().batch.tokens_per_step()) / seconds;
  metrics.seconds = position_.seconds;
  metrics.skipped = result.skipped;
  if (peak_flops_ <= 0) return metrics;
  const double flops =
      training_flops_per_token(config_.model, config_.attention, step.attention, stage().batch.sequence_length);
  metrics.mfu = flops * metrics.tokens_per_second / peak_flops_;
  return metrics;
}

void Trainer::report_skipped_step(const StepResult& result) {
  reporter_.warn(fmt::format("step {} was skipped: loss {}, gradient norm {}", position_.steps, result.loss,
                             result.gradient_norm));
  if (position_.skipped_in_a_row < config_.train.max_skipped_steps) return;
  throw RunError(
      fmt::format("{} steps in a row were skipped because loss or gradient was not finite; the newest checkpoint is in "
                  "{}. A lower optimizer.learning_rate or a longer warm-up may help",
                  position_.skipped_in_a_row, directory_.checkpoints().string()));
}

bool Trainer::needs_weights_after(int64_t steps) const {
  return backend_.device().kind == DeviceKind::kCpu || evaluation_due(config_, steps) || checkpoint_due(config_, steps);
}

void Trainer::after_step() {
  if (abandoned_) return;
  if (evaluation_due(config_, position_.steps)) validate();
  const bool saved_by_caller = stopping_ || position_.steps == config_.total_steps();
  if (checkpoint_due(config_, position_.steps) && !saved_by_caller) checkpoints_->save_or_warn(position_);
}

void Trainer::validate() {
  if (!validator_.has_data()) return;
  position_.evaluation_pending = true;
  if (stopping_) return;  // the resumed run evaluates
  const Validator::Losses losses = validator_.losses();
  position_.evaluation_pending = false;
  reporter_.validated({position_.steps, stage().name, position_.tokens, position_.seconds, losses.stage, losses.dense});
}

void Trainer::stop_together() {
  finish_steps();
  on_all_ranks(*ranks_.group, "the reading of data", [&] {
    step_.check_source();
    return std::string();
  });
  throw Interrupted(stop_.pending() != 0 ? stop_.pending() : SIGTERM);
}

void Trainer::save_finished_steps() {
  finish_steps();
  if (position_.steps > 0) checkpoints_->save(position_);
  checkpoints_->finish();
}

}  // namespace lighthouse
