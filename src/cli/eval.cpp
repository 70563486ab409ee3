// lighthouse eval: measures the quality of models.
#include "eval.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

void run(const EvalOptions& options) {
  const StopSignal stop;
  const auto backend = make_backend(options.device, options.dtype);
  const auto test = options.retrieval ? eval_retrieval : options.copies ? eval_copies : eval_loss;
  test(options, *backend, stop);
}

void add_loss_options(CLI::App& command, EvalOptions& options) {
  command.add_option("--data", options.data, "Pattern of token shards; by default the run's validation data")
      ->transform(expanded_path());
  command.add_option("--sequence-length", options.sequence_length, "Tokens of a window; by default the run's")
      ->check(at_least(1));
  command.add_option("--windows", options.windows, "Number of windows; by default as in training, for --copies 32")
      ->check(at_least(1));
  command.add_option("--batch", options.batch, "Windows at a time")->check(at_least(1))->capture_default_str();
  command.add_option("--ranges", options.ranges, "Number of equal ranges of positions; by default the ranges double")
      ->check(at_least(1));
}

void add_retrieval_options(CLI::App& command, EvalOptions& options) {
  command.add_flag("--retrieval", options.retrieval, "Run the retrieval test: one digit hidden in filler");
  command
      .add_option("--lengths", options.lengths,
                  "Lengths of its prompts in tokens; by default 1/16 to 1 of the run's sequence length")
      ->delimiter(',')
      ->check(at_least(1));
  command.add_option("--depths", options.depths, "Number of positions of the digit, from 0% to 100%")
      ->capture_default_str();
  command.add_option("--trials", options.trials, "Prompts for each length and depth")->capture_default_str();
  command.add_option("--seed", options.seed, "Seed of digits and filler; for --copies of the choice of windows")
      ->check(at_least(0))
      ->capture_default_str();
  command.add_option("--filler", options.filler, "A text file as filler; by default a few built-in sentences")
      ->transform(expanded_path());
  command.add_option("--tokenizer", options.tokenizer, "Path of the models' tokenizer, if it has moved")
      ->transform(expanded_path());
}

void add_copy_options(CLI::App& command, EvalOptions& options) {
  CLI::Option* copies = command
                            .add_flag("--copies", options.copies,
                                      "Run the copy test: the gain on a passage that also occurred some tokens earlier")
                            ->excludes("--retrieval")
                            ->excludes("--ranges");
  command.add_option("--passage", options.passage, "Length of the passage in tokens")
      ->needs(copies)
      ->check(at_least(2))
      ->capture_default_str();
  command
      .add_option(
          "--distances", options.distances,
          "Distances from the copy to the passage in tokens; by default 1024, 2048, ... and the largest that fits")
      ->needs(copies)
      ->delimiter(',')
      ->check(at_least(1));
}

}  // namespace

AttentionKind attention_of(const EvalOptions& options) {
  return attention_kind_of(options.attention);
}

std::string data_of(const EvalOptions& options, const ModelCard& card) {
  const std::string& data = options.data.empty() ? card.stage.data.validation : options.data;
  if (data.empty()) {
    throw InputError(fmt::format("{} has no validation data; name shards with --data", card.path.string()));
  }
  return data;
}

int64_t sequence_length_of(const EvalOptions& options, const ModelCard& card) {
  return options.sequence_length > 0 ? options.sequence_length : card.stage.batch.sequence_length;
}

PassSettings pass_of(const EvalOptions& options, const ModelCard& card, int64_t length) {
  PassSettings settings;
  settings.batch = options.batch;
  settings.sequence_length = length;
  settings.rope_theta = card.model.rope_theta;
  settings.kind = attention_of(options);
  settings.attention = card.config.attention;
  settings.attention.check(settings.kind, length, card.model.num_hidden_layers);
  return settings;
}

std::string estimate_text(const Estimate& estimate) {
  return estimate.standard_error > 0 ? fmt::format("{:.4f} ±{:.4f}", estimate.mean, estimate.standard_error)
                                     : fmt::format("{:.4f}", estimate.mean);
}

void add_eval_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "eval", "Measure models: validation loss by position, the retrieval test, or the copy test");
  auto options = std::make_shared<EvalOptions>();
  command
      ->add_option("CHECKPOINT", options->checkpoints,
                   "Checkpoints, or directories of runs for their newest checkpoints")
      ->transform(expanded_path())
      ->required();
  command
      ->add_option("--attention", options->attention,
                   "dense; or window or lighthouse with the settings of the run's config")
      ->check(CLI::IsMember({"dense", "window", "lighthouse"}))
      ->capture_default_str();
  add_device_options(*command, options->device, options->dtype);
  command
      ->add_option("--out", options->out,
                   "A folder for JSON, CSV and a plot; replaces the files of an earlier evaluation")
      ->transform(expanded_path());
  add_loss_options(*command, *options);
  add_retrieval_options(*command, *options);
  add_copy_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
