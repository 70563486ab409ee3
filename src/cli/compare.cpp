// lighthouse compare: runs side by side.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "commands.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/eval/bigram.h"
#include "lighthouse/train/comparison.h"

namespace lighthouse {
namespace {

struct Options {
  std::vector<std::string> runs;
  bool bigram = false;
};

struct Run {
  std::string name;
  RunConfig config;
  RunHistory history;
};

Run read_run(const std::filesystem::path& directory) {
  if (!std::filesystem::exists(directory / "metrics.jsonl")) {
    throw InputError(fmt::format("{} is not a run's directory: it has no metrics.jsonl", directory.string()));
  }
  Run run{"", load_config(directory / "config.yaml"), read_history(directory / "metrics.jsonl")};
  run.name = run.config.run.name;
  if (run.history.steps.empty()) throw InputError(fmt::format("{} has no finished step yet", directory.string()));
  return run;
}

std::string loss_text(const std::optional<double>& loss) {
  return loss ? fmt::format("{:.4f}", *loss) : "-";
}

void print_final(const std::vector<Run>& runs) {
  TextTable table({"run", "steps", "tokens", "training time", "validation (dense)", "(stage's own)"});
  for (const Run& run : runs) {
    const StepMetrics& last = run.history.steps.back();
    const auto& validations = run.history.validations;
    table.add_row({run.name, format_count(last.step), format_count(last.tokens), format_seconds(last.seconds),
                   validations.empty() ? "-" : loss_text(validations.back().loss_dense),
                   validations.empty() ? "-" : loss_text(validations.back().loss)});
  }
  fmt::print("At the end (losses in nats per token)\n\n{}\n", table.str());
}

/// Losses where all runs have got to.
void print_at(const std::vector<Run>& runs, const std::string& title,
              std::optional<double> (*validation)(const RunHistory&, double),
              std::optional<double> (*training)(const RunHistory&, double), double common,
              const std::function<std::string(double)>& format) {
  TextTable table({"run", "at " + format(common / 2) + ": validation", "training",
                   "at " + format(common) + ": validation", "training"});
  for (const Run& run : runs) {
    table.add_row({run.name, loss_text(validation(run.history, common / 2)),
                   loss_text(training(run.history, common / 2)), loss_text(validation(run.history, common)),
                   loss_text(training(run.history, common))});
  }
  fmt::print("{} (validation in dense attention; training: mean of ten steps)\n\n{}\n", title, table.str());
}

void print_stages(const std::vector<Run>& runs) {
  TextTable table({"run", "stage", "attention", "steps", "tokens/s"});
  for (const Run& run : runs) {
    for (const StageSummary& stage : summarise_stages(run.history)) {
      table.add_row({run.name, stage.name, std::string(name_of(stage.attention)), format_count(stage.steps),
                     format_count(static_cast<int64_t>(stage.tokens_per_second))});
    }
  }
  fmt::print("Stages\n\n{}\n", table.str());
}

void print_switches(const std::vector<Run>& runs) {
  TextTable table({"run", "from", "to", "after step", "loss before", "first loss", "jump", "steps to recover"});
  bool any = false;
  for (const Run& run : runs) {
    for (const SwitchSummary& s : summarise_switches(run.history)) {
      any = true;
      table.add_row({run.name, s.from, s.to, format_count(s.step), loss_text(s.before), loss_text(s.after),
                     fmt::format("{:+.4f}", s.jump()),
                     s.steps_to_recover ? format_count(*s.steps_to_recover) : "not yet"});
    }
  }
  if (!any) return;
  fmt::print(
      "Switches (a loss in Lighthouse mode sees a little of what it predicts, so part of the jump is honesty)\n\n"
      "{}\n",
      table.str());
}

void print_bigram(const Run& run) {
  if (run.config.data.train.empty() || run.config.data.validation.empty()) {
    throw InputError("--bigram needs data.train and data.validation in the first run's config");
  }
  std::vector<std::string> train;
  for (const DataSource& source : run.config.data.train) train.push_back(source.path);
  const double loss = bigram_loss(train, run.config.data.validation, run.config.model.vocab_size);
  fmt::print(
      "For scale: a bigram model with add-one smoothing, counted on the training shards, has {:.4f} nats per "
      "token on all of the validation shards.\n",
      loss);
}

void compare(const Options& options) {
  std::vector<Run> runs;
  std::vector<RunHistory> histories;
  for (const std::string& directory : options.runs) {
    runs.push_back(read_run(directory));
    histories.push_back(runs.back().history);
  }
  print_final(runs);
  print_at(runs, "At equal tokens", dense_validation_at_tokens, training_loss_at_tokens, common_tokens(histories),
           [](double tokens) { return format_si(tokens) + " tokens"; });
  print_at(runs, "At equal time", dense_validation_at_seconds, training_loss_at_seconds, common_seconds(histories),
           format_seconds);
  print_stages(runs);
  print_switches(runs);
  if (options.bigram) print_bigram(runs.front());
}

}  // namespace

void add_compare_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("compare", "Show runs side by side");
  auto options = std::make_shared<Options>();
  command->add_option("RUN", options->runs, "Runs' directories")->required();
  command->add_flag("--bigram", options->bigram, "Also the loss of a bigram model on the first run's data");
  command->callback([options] { compare(*options); });
}

}  // namespace lighthouse
