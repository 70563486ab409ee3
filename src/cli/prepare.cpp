// lighthouse prepare: converts text files to token shards.
#include "lighthouse/data/prepare.h"

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
  PrepareOptions prepare;
  std::string tokenizer = "bytes";
};

void run(const Options& options) {
  const StopSignal stop;
  ProgressLine progress;
  const auto tokenizer = make_tokenizer(options.tokenizer);
  const PrepareResult result = prepare(options.prepare, *tokenizer, [&](int64_t bytes, int64_t of) {
    stop.check();
    progress.show_bytes(bytes, of);
  });
  progress.clear();
  for (const auto& file : result.empty_files) spdlog::warn("{} is empty; skipped", file.string());
  if (result.skipped_lines > 0) {
    spdlog::warn("dropped {} lines that are not UTF-8", format_count(result.skipped_lines));
  }
  spdlog::info("{} tokens for training and {} for validation, in {} shards in {}", format_count(result.train_tokens),
               format_count(result.validation_tokens), result.shards.size(), options.prepare.directory.string());
}

}  // namespace

void add_prepare_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("prepare", "Convert text files to token shards");
  auto options = std::make_shared<Options>();
  command->add_option("FILE", options->prepare.files, "Text files, in order")->transform(expanded_path())->required();
  command->add_option("--out", options->prepare.directory, "The folder for the shards")
      ->transform(expanded_path())
      ->required();
  command
      ->add_option("--tokenizer", options->tokenizer,
                   "bytes, or a SentencePiece model (PATH.model; `lighthouse tokenizer train` makes one)")
      ->transform(expanded_path())
      ->capture_default_str();
  command->add_option("--shard-tokens", options->prepare.shard_tokens, "Largest number of tokens in a shard")
      ->capture_default_str();
  command
      ->add_option("--validation-share", options->prepare.validation_share,
                   "Fraction of the text, at its end, for validation")
      ->capture_default_str();
  command->add_flag("--skip-broken", options->prepare.skip_broken, "Drop lines that are not UTF-8");
  command->add_flag("--as-is", options->prepare.as_is, "Read the files byte by byte, even if they are not plain text");
  command->add_flag("--overwrite", options->prepare.overwrite, "Replace existing shards");
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
