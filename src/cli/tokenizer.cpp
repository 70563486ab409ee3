// lighthouse tokenizer train: trains a SentencePiece model on text.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <map>

#include "commands.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/sentencepiece.h"

namespace lighthouse {
namespace {

void train(const SentencePieceTraining& training) {
  spdlog::info("training {} pieces; this takes minutes for gigabytes of text", format_count(training.vocab_size));
  train_sentencepiece(training);
  spdlog::info("wrote {}; use it with `lighthouse prepare --tokenizer {}`", training.output.string(),
               training.output.string());
}

}  // namespace

void add_tokenizer_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("tokenizer", "Train a tokenizer");
  command->require_subcommand(1);
  CLI::App* training = command->add_subcommand("train", "Train a SentencePiece model on text");
  auto options = std::make_shared<SentencePieceTraining>();
  training->add_option("FILE", options->files, "Text files")->transform(expanded_path())->required();
  training->add_option("--out", options->output, "Path of the model, ending in .model")
      ->transform(expanded_path())
      ->required();
  training->add_option("--vocab-size", options->vocab_size, "Number of pieces")->capture_default_str();
  const std::map<std::string, SentencePieceKind> kinds{{"bpe", SentencePieceKind::kBpe},
                                                       {"unigram", SentencePieceKind::kUnigram}};
  training->add_option("--type", options->kind, "bpe or unigram")
      ->transform(CLI::CheckedTransformer(kinds))
      ->default_str("bpe");
  training
      ->add_option("--max-lines", options->max_sentences,
                   "Number of lines used, sampled at random if there are more; 0: all")
      ->capture_default_str();
  training->add_flag("--skip-broken", options->skip_broken, "Drop lines that are not UTF-8");
  training->callback([options] { train(*options); });
}

}  // namespace lighthouse
