// lighthouse import: converts a Hugging Face folder to a checkpoint.
#include "lighthouse/hub/import.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "commands.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/core/text.h"
#include "lighthouse/model/parameters.h"
#include "progress.h"

namespace lighthouse {
namespace {

struct Options {
  ImportOptions imported;
  RopeScaling scaling;
};

void run(const Options& options) {
  const StopSignal stop;
  ProgressLine progress;
  const ImportResult result = import_hugging_face(options.imported, [&](int64_t bytes, int64_t of) {
    stop.check();
    progress.show_bytes(bytes, of);
  });
  progress.clear();
  const ModelConfig& model = result.model;
  spdlog::info("{}: {} parameters, {} layers, {} tokens of vocabulary, sequences of up to {}",
               options.imported.checkpoint.string(), format_count(parameter_count(model)), model.num_hidden_layers,
               format_count(model.token_count()), format_count(result.max_position_embeddings));
  const std::vector<int64_t> windows = model.sliding_windows();
  const auto windowed = std::ssize(windows) - std::count(windows.begin(), windows.end(), 0);
  if (windowed > 0) {
    spdlog::info("{} of its layers use a sliding window of {} keys", format_count(windowed),
                 format_count(model.sliding_window));
  }
  if (model.unused_tokens > 0) {
    spdlog::info("{} rows of its vocabulary have no token; loss and sampling exclude them",
                 format_count(model.unused_tokens));
  }
  spdlog::info("to train it further, start a config with `extends: {}`",
               (options.imported.checkpoint / "model.yaml").string());
}

void add_rope_options(CLI::App& command, const std::shared_ptr<Options>& options) {
  command.add_option("--rope-theta", options->imported.rope_theta, "Replace the base of the rotary wavelengths")
      ->check(CLI::Range(1.0, 1e12));
  RopeScaling& scaling = options->scaling;
  const std::map<std::string, RopeScalingKind> kinds{
      {"none", RopeScalingKind::kNone}, {"linear", RopeScalingKind::kLinear}, {"llama3", RopeScalingKind::kLlama3}};
  CLI::Option* kind =
      command.add_option("--rope-scaling", scaling.kind, "Replace the RoPE scaling: none, linear or llama3")
          ->transform(CLI::CheckedTransformer(kinds));
  command.add_option("--rope-factor", scaling.factor, "Scale of the wavelengths")
      ->needs(kind)
      ->check(CLI::Range(1.0, 1e6))
      ->capture_default_str();
  command
      .add_option("--rope-original-length", scaling.original_max_position_embeddings,
                  "Sequence length of the original training, for llama3")
      ->needs(kind)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  command.callback([options, kind] {
    if (kind->count() > 0) options->imported.rope_scaling = options->scaling;
    run(*options);
  });
}

}  // namespace

void add_import_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("import", "Convert a Hugging Face Llama to a checkpoint");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->imported.folder, "The folder with config.json and safetensors")
      ->transform(expanded_path())
      ->required();
  command->add_option("OUT", options->imported.checkpoint, "The checkpoint to create")
      ->transform(expanded_path())
      ->required();
  command
      ->add_option("--tokenizer", options->imported.tokenizer,
                   "bytes, a SentencePiece model or a folder; replaces the folder's tokenizer")
      ->transform(expanded_path());
  add_rope_options(*command, options);
}

}  // namespace lighthouse
