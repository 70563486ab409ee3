// lighthouse generate: text from a checkpoint.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "commands.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/eval/generator.h"
#include "lighthouse/train/checkpoint.h"
#include "lighthouse/train/schedule.h"

namespace lighthouse {
namespace {

struct Options {
  std::string checkpoint;
  std::string prompt = "\n";
  SamplingOptions sampling;
};

void run(const Options& options) {
  const StopSignal stop;
  const std::filesystem::path checkpoint = find_checkpoint(options.checkpoint);
  verify_checkpoint(checkpoint);
  const CheckpointState state = load_state(checkpoint);
  RunConfig config = parse_config(state.config, (checkpoint / "state.json").string());
  const StageSection& stage = config.stages[static_cast<size_t>(stage_of_step(config, state.step - 1).stage)];
  config.model.rope_theta = stage.rope_theta;
  const auto backend = make_backend(DeviceChoice::kAuto);
  Arena measuring;
  lay_out_parameters(measuring, MemoryUse::kWeights, config.model);
  Arena arena(measuring.used());
  const Parameters weights = lay_out_parameters(arena, MemoryUse::kWeights, config.model);
  load_weights(checkpoint, weights, config.model);

  const auto tokenizer = make_tokenizer(config.model.tokenizer);
  std::vector<int32_t> prompt;
  tokenizer->encode(options.prompt, prompt);
  bool begun = false;
  const auto begin = [&] {  // not before the options are known to be good
    if (!begun) fmt::print("{}", options.prompt);
    begun = true;
  };
  generate(config.model, weights, *backend, prompt, stage.batch.sequence_length, tokenizer->end_of_text(),
           options.sampling, [&](int32_t token) {
             stop.check();
             begin();
             fmt::print("{}", tokenizer->decode(token));
             std::fflush(stdout);
           });
  begin();
  fmt::print("\n");
}

}  // namespace

void add_generate_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("generate", "Write text with a trained model");
  auto options = std::make_shared<Options>();
  command->add_option("CHECKPOINT", options->checkpoint, "A checkpoint, or a run's directory for its newest")
      ->required();
  command->add_option("--prompt", options->prompt, "The text to continue");
  command->add_option("--max-tokens", options->sampling.max_tokens, "Stop after so many tokens")->capture_default_str();
  command->add_option("--temperature", options->sampling.temperature, "0: always the likeliest token")
      ->capture_default_str();
  command->add_option("--top-k", options->sampling.top_k, "Choose among the k likeliest tokens; 0: among all")
      ->capture_default_str();
  command->add_option("--seed", options->sampling.seed, "Another seed, another text")->capture_default_str();
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
