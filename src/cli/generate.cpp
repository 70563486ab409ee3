// lighthouse generate: text from a checkpoint.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "commands.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/eval/generator.h"
#include "lighthouse/ops/transfer.h"
#include "lighthouse/train/checkpoint.h"
#include "lighthouse/train/schedule.h"

namespace lighthouse {
namespace {

struct Options {
  std::string checkpoint;
  std::string prompt = "\n";
  SamplingOptions sampling;
};

/// A checkpoint's weights on the device, of the backend's type.
struct Weights {
  Weights(const std::filesystem::path& checkpoint, const ModelConfig& model, Backend& backend) {
    Arena measuring;
    lay_out_parameters(measuring, MemoryUse::kWeights, model);
    Arena host(measuring.used());
    const Parameters loaded = lay_out_parameters(host, MemoryUse::kWeights, model);
    load_weights(checkpoint, loaded, model);
    arena = Arena(backend.allocate(2 * measuring.used()));
    const Parameters master = lay_out_parameters(arena, MemoryUse::kWeights, model);
    tensors = lay_out_parameters(arena, MemoryUse::kWeights, model, backend.dtype());
    upload(backend, master.flat, loaded.flat);
    backend.copy(backend.compute_stream(), tensors.flat, master.flat);
  }

  Arena arena;
  Parameters tensors;
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
  const Weights weights(checkpoint, config.model, *backend);

  const auto tokenizer = make_tokenizer(config.model.tokenizer);
  std::vector<int32_t> prompt;
  tokenizer->encode(options.prompt, prompt);
  bool begun = false;
  const auto begin = [&] {  // not before the options are known to be good
    if (!begun) fmt::print("{}", options.prompt);
    begun = true;
  };
  generate(config.model, weights.tensors, *backend, prompt, stage.batch.sequence_length, tokenizer->end_of_text(),
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
