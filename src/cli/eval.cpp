// lighthouse eval: how good a model is.
#include "eval.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"

namespace lighthouse {
namespace {

void run(const EvalOptions& options) {
  const StopSignal stop;
  const auto backend = make_backend(options.device, options.dtype);
  options.retrieval ? eval_retrieval(options, *backend, stop) : eval_loss(options, *backend, stop);
}

void add_loss_options(CLI::App& command, EvalOptions& options) {
  command.add_option("--data", options.data, "Token shards by pattern; by default the run's validation data")
      ->transform(expanded_path());
  command.add_option("--sequence-length", options.sequence_length, "Tokens of a window; by default the run's")
      ->check(at_least(1));
  command.add_option("--windows", options.windows, "Windows, spread over the data; by default as many as in training")
      ->check(at_least(1));
  command.add_option("--batch", options.batch, "Windows at a time")->check(at_least(1))->capture_default_str();
  command.add_option("--ranges", options.ranges, "So many equal ranges of positions; by default they double")
      ->check(at_least(1));
}

void add_retrieval_options(CLI::App& command, EvalOptions& options) {
  command.add_flag("--retrieval", options.retrieval, "The retrieval test instead: one digit hidden in filler");
  command.add_option("--lengths", options.lengths, "Of its prompts, tokens; by default 1/16 to 1 of the run's")
      ->delimiter(',')
      ->check(at_least(1));
  command.add_option("--depths", options.depths, "Places of the digit, from 0% to 100%")->capture_default_str();
  command.add_option("--trials", options.trials, "Prompts a length and depth")->capture_default_str();
  command.add_option("--seed", options.seed, "Of digits and filler")->check(at_least(0))->capture_default_str();
  command.add_option("--filler", options.filler, "A text to hide it in, instead of a few sentences of ours")
      ->transform(expanded_path());
  command.add_option("--tokenizer", options.tokenizer, "The models' tokenizer, if it has moved")
      ->transform(expanded_path());
}

}  // namespace

AttentionKind attention_of(const EvalOptions& options) {
  return attention_kind_of(options.attention);
}

void add_eval_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("eval", "Measure models: validation loss by position, or retrieval");
  auto options = std::make_shared<EvalOptions>();
  command->add_option("CHECKPOINT", options->checkpoints, "Checkpoints, or runs' directories for their newest")
      ->transform(expanded_path())
      ->required();
  command->add_option("--attention", options->attention, "dense, or window or lighthouse as the run's config has it")
      ->check(CLI::IsMember({"dense", "window", "lighthouse"}))
      ->capture_default_str();
  add_device_options(*command, options->device, options->dtype);
  command->add_option("--out", options->out, "A folder for JSON, CSV and a plot; files of an evaluation before go")
      ->transform(expanded_path());
  add_loss_options(*command, *options);
  add_retrieval_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
