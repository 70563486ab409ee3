// lighthouse export: writes a checkpoint as a Hugging Face folder.
#include "lighthouse/hub/export.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "commands.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/core/text.h"
#include "progress.h"

namespace lighthouse {
namespace {

struct Options {
  ExportOptions exported;
  std::string dtype = "auto";
};

void run(Options& options) {
  if (options.dtype == "float32") options.exported.dtype = DType::kFloat32;
  if (options.dtype == "bfloat16") options.exported.dtype = DType::kBFloat16;
  const StopSignal stop;
  ProgressLine progress;
  const ExportResult result = export_hugging_face(options.exported, [&](int64_t bytes, int64_t of) {
    stop.check();
    progress.show_bytes(bytes, of);
  });
  progress.clear();
  spdlog::info("wrote {}: {}, {} of weights in {} {}", options.exported.folder.string(), result.architecture,
               format_bytes(result.bytes), result.files, result.files == 1 ? "file" : "files");
  if (!result.tokens_may_differ) return;
  spdlog::warn(
      "transformers reads tokenizer.model as plain byte-pair encoding, but this model is unigram or normalises text: "
      "there, and perhaps in other programs, the same text may have other tokens");
}

}  // namespace

void add_export_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("export", "Write a checkpoint as a Hugging Face folder");
  auto options = std::make_shared<Options>();
  ExportOptions& exported = options->exported;
  command->add_option("CHECKPOINT", exported.checkpoint, "A checkpoint, or a run's directory for its newest checkpoint")
      ->transform(expanded_path())
      ->required();
  command->add_option("DIR", exported.folder, "The folder to create")->transform(expanded_path())->required();
  command
      ->add_option("--dtype", options->dtype,
                   "Type of the weights: float32 or bfloat16; auto: as in the checkpoint, without loss")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str();
  command
      ->add_option("--max-shard-size", exported.max_shard_bytes, "Size limit of a file with weights, for example 500MB")
      ->transform(CLI::AsSizeValue(true))
      ->default_str("5GB");
  command->add_option("--tokenizer", exported.tokenizer, "Path of the model's tokenizer, if it has moved")
      ->transform(expanded_path());
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
