// lighthouse generate: generates text from a checkpoint.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "commands.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/eval/generator.h"
#include "lighthouse/train/model_tokenizer.h"
#include "standard_output.h"
#include "trained_model.h"

namespace lighthouse {
namespace {

struct Options {
  std::string checkpoint;
  std::string tokenizer;  // "": the path in the model's config
  std::string prompt = "\n";
  std::vector<int32_t> prompt_tokens;  // replaces the prompt
  std::string device = "auto";
  std::string dtype = "auto";
  int64_t context = 0;  // 0: the run's sequence length
  SamplingOptions sampling;
};

/// The prompt as tokens and as text.
std::pair<std::vector<int32_t>, std::string> read_prompt(const Options& options, const Tokenizer& tokenizer) {
  if (options.prompt_tokens.empty()) {
    std::vector<int32_t> tokens;
    tokenizer.encode(options.prompt, tokens);
    return {tokens, options.prompt};
  }
  std::string text;
  for (const int32_t token : options.prompt_tokens) text += tokenizer.decode(token);
  return {options.prompt_tokens, text};
}

void run(const Options& options) {
  const StopSignal stop;
  const ModelCard card = read_model_card(options.checkpoint);
  const auto tokenizer = load_tokenizer(card.state, card.model, options.tokenizer);
  const auto backend = make_backend(options.device, options.dtype);
  const DeviceWeights weights(card, *backend);

  const auto& [prompt, text] = read_prompt(options, *tokenizer);
  bool begun = false;
  const auto begin = [&, &shown = text] {  // after generate() has checked the options
    if (!begun) fmt::print("{}", shown);
    begun = true;
  };
  const int64_t context = options.context > 0 ? options.context : card.stage.batch.sequence_length;
  if (options.sampling.max_tokens > card.stage.batch.sequence_length - std::ssize(prompt)) {
    card.warn_if_beyond_training(context);
  }
  const GenerationTimes times = generate(card.model, weights.parameters(), *backend, prompt, context,
                                         tokenizer->end_of_text(), options.sampling, [&](int32_t token) {
                                           stop.check();
                                           begin();
                                           fmt::print("{}", tokenizer->decode(token));
                                           flush_standard_output();
                                         });
  begin();
  fmt::print("\n");
  flush_standard_output();
  if (times.tokens > 0) {
    spdlog::info("prompt: {} tokens in {}; then {:.1f} tokens/s", format_count(times.prompt_tokens),
                 format_seconds(times.prompt_seconds), static_cast<double>(times.tokens) / times.seconds);
  }
}

}  // namespace

void add_generate_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("generate", "Generate text with a trained model");
  auto options = std::make_shared<Options>();
  command->add_option("CHECKPOINT", options->checkpoint, "A checkpoint, or a run's directory for its newest checkpoint")
      ->transform(expanded_path())
      ->required();
  CLI::Option* prompt = command->add_option("--prompt", options->prompt, "The text to continue");
  command
      ->add_option("--prompt-tokens", options->prompt_tokens,
                   "The prompt as token ids N,N,..., for a tokenizer.json, with which this program can only decode")
      ->delimiter(',')
      ->excludes(prompt);
  command->add_option("--max-tokens", options->sampling.max_tokens, "Maximum number of tokens")->capture_default_str();
  command->add_option("--temperature", options->sampling.temperature, "Sampling temperature; 0: greedy")
      ->capture_default_str();
  command->add_option("--top-k", options->sampling.top_k, "Sample from the k most likely tokens; 0: from all")
      ->capture_default_str();
  command
      ->add_option("--top-p", options->sampling.top_p,
                   "Sample from the fewest tokens that together have this probability")
      ->capture_default_str();
  command
      ->add_option("--context", options->context,
                   "Largest number of tokens that the model sees; by default as in training")
      ->check(at_least(1));
  command->add_option("--tokenizer", options->tokenizer, "Path of the model's tokenizer, if it has moved")
      ->transform(expanded_path());
  add_device_options(*command, options->device, options->dtype);
  command->add_option("--seed", options->sampling.seed, "Seed of the sampling")->capture_default_str();
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
