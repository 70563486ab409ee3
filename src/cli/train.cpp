// lighthouse train: runs or resumes a training run.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "commands.h"
#include "distributed_session.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/log.h"
#include "lighthouse/core/text.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/train/memory_plan.h"
#include "lighthouse/train/model_tokenizer.h"
#include "lighthouse/train/trainer.h"
#include "progress.h"

namespace lighthouse {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
  StartOptions start;
};

/// Reports a run's progress on the terminal and in its log.
class TrainingView final : public TrainingObserver {
 public:
  void started(int64_t /*first_step*/, int64_t total_steps) override { total_steps_ = total_steps; }

  void step_finished(const StepMetrics& m) override {
    const double step_seconds = m.seconds - seconds_;
    // The first step after a start includes the seconds before a resume, so it is not averaged.
    if (seconds_ > 0) average_ = average_ > 0 ? 0.9 * average_ + 0.1 * step_seconds : step_seconds;
    seconds_ = m.seconds;
    const double left = average_ * static_cast<double>(total_steps_ - m.step);
    const bool left_is_known = average_ > 0 || m.step == total_steps_;
    progress_.show(static_cast<double>(m.step) / static_cast<double>(total_steps_),
                   fmt::format("{}  step {}/{}  loss {:.4f}  {} tokens/s  {} left", m.stage, m.step, total_steps_,
                               m.loss, format_count(static_cast<int64_t>(m.tokens_per_second)),
                               left_is_known ? format_seconds(left) : "?"),
                   m.step == total_steps_);
  }

  void validated(const ValidationMetrics& m) override {
    progress_.clear();
    spdlog::info("step {}  validation loss {:.4f} in the stage's attention, {:.4f} in dense attention", m.step, m.loss,
                 m.loss_dense);
  }

  void note(const std::string& text) override {
    progress_.clear();
    spdlog::info("{}", text);
  }

  void warn(const std::string& text) override {
    progress_.clear();
    spdlog::warn("{}", text);
  }

 private:
  ProgressLine progress_;
  int64_t total_steps_ = 1;
  double seconds_ = 0;
  double average_ = 0;  // seconds per step
};

/// Resolves `recompute: auto` to the least recomputation that fits on every rank.
RunConfig with_recompute_on_all_ranks(const RunConfig& config, Backend& backend, DistributedSession& session) {
  int64_t available = available_bytes(config, backend);
  for (const std::string& bytes : session.group().gather(std::to_string(available), "the memory of all ranks")) {
    available = std::min<int64_t>(available, std::stoll(bytes));
  }
  return with_recompute(config, backend, available, Mesh(session.rank(), session.size()));
}

void train(const Options& options, DistributedSession& session) {
  RunConfig config = load_config_on_all_ranks(session, "train", options.config, options.settings);
  std::unique_ptr<Backend> backend;
  on_all_ranks(session.group(), "the devices of all ranks", [&] {
    // Resolve `auto` once, so that checkpoints save the result.
    config = with_document_ends(with_device(config));
    backend = make_backend(config, session.local_rank());
    return std::string();
  });
  config = with_recompute_on_all_ranks(config, *backend, session);
  const Ranks ranks = session.ranks(config, *backend);
  TrainingView view;
  StartOptions start = options.start;
  start.config = options.config;
  Trainer trainer(config, start, *backend, view, ranks);
  log_to_file(std::filesystem::path(config.run.directory) / "log.txt", session.rank());
  spdlog::info("run {} in {}: {} parameters, {} steps, on {}", config.run.name, config.run.directory,
               format_count(parameter_count(config.model)), format_count(config.total_steps()), backend->description());
  if (ranks.world) {
    spdlog::info("{}, tensors by {}{}", session.description(), ranks.world->description(),
                 config.distributed.shard_optimizer ? ", optimizer state sharded" : "");
  }
  trainer.run();
}

void run(const Options& options) {
  const auto session = join_distributed_session(options.config, options.settings);
  session->run([&] { train(options, *session); });
}

}  // namespace

void add_train_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("train", "Train a model from a config");
  auto options = std::make_shared<Options>();
  add_config_options(*command, options->config, options->settings);
  command->add_flag("--resume", options->start.resume,
                    "Continue from the newest checkpoint; start a new run if there is none");
  command->add_flag("--resume-whole", options->start.resume_whole, "Like --resume, but skip damaged checkpoints");
  command->add_option("--resume-from", options->start.resume_from, "Continue from the checkpoint of this step");
  command->add_flag("--accept-changed-data", options->start.accept_changed_data,
                    "Continue even if the training data differs from that of the checkpoint");
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
