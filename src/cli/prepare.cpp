// lighthouse prepare: text to token shards.
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
    progress.show(static_cast<double>(bytes) / static_cast<double>(of),
                  fmt::format("{} of {}", format_bytes(bytes), format_bytes(of)), bytes == of);
  });
  progress.clear();
  for (const auto& file : result.empty_files) spdlog::warn("{} is empty: left out", file.string());
  if (result.skipped_lines > 0) {
    spdlog::warn("{} lines were left out: they are not UTF-8", format_count(result.skipped_lines));
  }
  spdlog::info("{} tokens to train on, {} to validate, in {} shards in {}", format_count(result.train_tokens),
               format_count(result.validation_tokens), result.shards.size(), options.prepare.directory.string());
}

}  // namespace

void add_prepare_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("prepare", "Turn text files into token shards");
  auto options = std::make_shared<Options>();
  command->add_option("FILE", options->prepare.files, "Text files, in this order")
      ->transform(expanded_path())
      ->required();
  command->add_option("--out", options->prepare.directory, "The folder of the shards")
      ->transform(expanded_path())
      ->required();
  command
      ->add_option("--tokenizer", options->tokenizer,
                   "bytes, or a SentencePiece model (PATH.model; `lighthouse tokenizer train` makes one)")
      ->transform(expanded_path())
      ->capture_default_str();
  command->add_option("--shard-tokens", options->prepare.shard_tokens, "Tokens of the largest shard")
      ->capture_default_str();
  command
      ->add_option("--validation-share", options->prepare.validation_share,
                   "The share of the text, at its end, that is split off for validation")
      ->capture_default_str();
  command->add_flag("--skip-broken", options->prepare.skip_broken, "Leave out lines that are not UTF-8");
  command->add_flag("--as-is", options->prepare.as_is,
                    "Take the files byte by byte, also those that are not plain text");
  command->add_flag("--overwrite", options->prepare.overwrite, "Replace shards that are there already");
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
