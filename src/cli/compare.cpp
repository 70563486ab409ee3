// lighthouse compare: compares runs in tables and plots.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>

#include "commands.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/eval/bigram.h"
#include "lighthouse/report/comparison_page.h"
#include "lighthouse/report/comparison_sentences.h"
#include "lighthouse/report/gnuplot.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {
namespace {

struct Options {
  std::vector<std::string> runs;
  bool bigram = false;
  std::filesystem::path page;  // "": in the first run's directory
};

ReportedRun read_run(const std::filesystem::path& directory) {
  if (!std::filesystem::exists(directory / "metrics.jsonl")) {
    throw InputError(
        fmt::format("{} is not a run's directory; expected a folder with metrics.jsonl", directory.string()));
  }
  const std::filesystem::path config = directory / "config.yaml";
  ReportedRun run{"", parse_config(read_file(config), config.string()), read_history(directory / "metrics.jsonl"),
                  ranks_of_newest(directory / "checkpoints")};
  run.name = run.config.run.name;
  if (run.history.steps.empty())
    throw InputError(fmt::format("{} has no finished step; run `lighthouse train` first", directory.string()));
  return run;
}

/// Replaces equal names by the runs' folders.
void make_names_differ(std::vector<ReportedRun>& runs, const std::vector<std::string>& directories) {
  std::map<std::string, int> count;
  for (const ReportedRun& run : runs) ++count[run.name];
  for (size_t i = 0; i < runs.size(); ++i) {
    if (count[runs[i].name] > 1) runs[i].name = directories[i];
  }
}

void print_bigram(const ReportedRun& run) {
  if (run.config.data.train.empty() || run.config.data.validation.empty()) {
    throw InputError("--bigram needs data.train and data.validation in the first run's config");
  }
  std::vector<std::string> train;
  for (const DataSource& source : run.config.data.train) train.push_back(source.path);
  const double loss = bigram_loss(train, run.config.data.validation, run.config.model.vocab_size);
  fmt::print(
      "For scale: a bigram model with add-one smoothing, counted on the training shards, reaches {:.4f} nats per "
      "token on all of the validation shards.\n",
      loss);
}

void write_page(const Options& options, const std::vector<ReportedRun>& runs) {
  if (!gnuplot_is_installed()) {
    spdlog::warn("no HTML page written: {}", kInstallGnuplot);
    return;
  }
  const std::filesystem::path page =
      options.page.empty() ? std::filesystem::path(options.runs[0]) / "report" / "index.html" : options.page;
  if (page.has_parent_path()) make_directories(page.parent_path());
  write_file(page, comparison_page(runs));
  spdlog::info("the plots are in {}", page.string());
}

void compare(const Options& options) {
  std::vector<ReportedRun> runs;
  for (const std::string& directory : options.runs) runs.push_back(read_run(directory));
  make_names_differ(runs, options.runs);
  for (const ReportTable& table : comparison_tables(runs)) fmt::print("{}", table.str());
  if (options.bigram) print_bigram(runs.front());
  std::fflush(stdout);
  write_page(options, runs);
  for (const std::string& sentence : comparison_sentences(runs)) fmt::print("\n{}\n", sentence);
}

}  // namespace

void add_compare_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("compare", "Compare runs: tables, and an HTML page of plots");
  auto options = std::make_shared<Options>();
  command->add_option("RUN", options->runs, "Directories of runs")->transform(expanded_path())->required();
  command->add_flag("--bigram", options->bigram, "Also print the loss of a bigram model on the first run's data");
  command->add_option("--page", options->page, "Path of the HTML page; by default RUN/report/index.html")
      ->transform(expanded_path());
  command->callback([options] { compare(*options); });
}

}  // namespace lighthouse
