// lighthouse data inspect: statistics and samples of token shards.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "commands.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/inspect.h"
#include "lighthouse/data/loader.h"
#include "progress.h"

namespace lighthouse {
namespace {

struct Options {
  std::vector<std::string> patterns;
  std::string tokenizer = "bytes";
  int64_t most_frequent = 16;
  int64_t samples = 3;
  int64_t sample_tokens = 64;
  std::vector<int64_t> sequence_lengths{1024, 8192, 65536, 524288};
  int64_t train_tokens = 0;  // 0: unknown
};

struct Opened {
  std::vector<TokenShard> valid;
  std::vector<std::string> faults;  // the errors of the other shards
};

Opened open_all(const std::vector<std::string>& patterns) {
  Opened opened;
  for (const std::string& pattern : patterns) {
    for (const auto& path : match_files(pattern)) {
      try {
        opened.valid.emplace_back(path);
      } catch (const InputError& error) {
        opened.faults.emplace_back(error.what());
      }
    }
  }
  return opened;
}

/// Counts tokens and prints one row for each shard. Adds tokens outside the vocabulary to the faults.
void count_all(Opened& opened, const Tokenizer& tokenizer, TokenCounts& counts) {
  const StopSignal stop;
  ProgressLine progress;
  TextTable table({"shard", "bits", "tokens", "ends of text", "outside"});
  int64_t done = 0;
  for (const TokenShard& shard : opened.valid) {
    stop.check();
    const TokenCounts before = {counts.tokens, counts.documents, counts.outside, 0, 0, {}};
    counts.add(shard, tokenizer.end_of_text());
    const int64_t outside = counts.outside - before.outside;
    table.add_row({shard.path().string(), std::to_string(8 * shard.bytes_per_token()), format_count(shard.size()),
                   format_count(counts.documents - before.documents), format_count(outside)});
    if (outside > 0) {
      opened.faults.push_back(fmt::format("{}: {} tokens are outside the vocabulary of {}, 0 to {}",
                                          shard.path().string(), format_count(outside), tokenizer.name(),
                                          tokenizer.vocab_size() - 1));
    }
    ++done;
    progress.show(static_cast<double>(done) / static_cast<double>(opened.valid.size()),
                  fmt::format("{} of {} shards", done, opened.valid.size()));
  }
  progress.clear();
  fmt::print("{}\n", table.str());
}

void print_counts(const TokenCounts& counts, const Tokenizer& tokenizer, int64_t most_frequent) {
  fmt::print("{} tokens, {} ends of text; {} of {} tokens occur; {:.2f} bits per token by frequency alone\n",
             format_count(counts.tokens), format_count(counts.documents), format_count(counts.distinct()),
             format_count(tokenizer.vocab_size()), counts.entropy());
  fmt::print("longest run of one token: {} of {}\n\n", format_count(counts.longest_run), counts.run_token);
  const auto most = counts.most_frequent(most_frequent);
  if (most.empty()) return;
  constexpr int kBar = 32;
  TextTable table({"token", "count", "share", "text", ""});
  for (const auto& [token, count] : most) {
    const double share = static_cast<double>(count) / static_cast<double>(counts.tokens);
    const auto bar = static_cast<size_t>(kBar * count / most.front().second);
    table.add_row({std::to_string(token), format_count(count), fmt::format("{:.2f}%", 100 * share),
                   format_token(tokenizer, token), std::string(bar, '#')});
  }
  fmt::print("{}\n", table.str());
}

void print_samples(const Opened& opened, const Tokenizer& tokenizer, const Options& options) {
  for (int64_t i = 0; i < options.samples && !opened.valid.empty(); ++i) {  // spaced evenly over all shards
    const auto which = static_cast<size_t>(i * std::ssize(opened.valid) / options.samples);
    const TokenShard& shard = opened.valid[which];
    const int64_t begin = shard.size() / (options.samples + 1) * (i + 1);
    fmt::print("{}, from token {}:\n  {}\n", shard.path().string(), format_count(begin),
               decode_sample(shard, tokenizer, begin, options.sample_tokens));
  }
}

/// Prints how much of the shards windows of each length use.
void print_windows(const Opened& opened, const Options& options) {
  std::vector<int64_t> sizes;
  for (const TokenShard& shard : opened.valid) sizes.push_back(shard.size());
  if (sizes.empty()) return;
  TextTable table({"sequence length", "windows", "files too short", "tokens in no window", "share", "passes"});
  for (const int64_t length : options.sequence_lengths) {
    const WindowUse use = window_use(sizes, length);
    const double share = static_cast<double>(use.unused_tokens) / static_cast<double>(use.tokens);
    const double passes = static_cast<double>(options.train_tokens) / static_cast<double>(length * use.windows);
    table.add_row({format_count(length), format_count(use.windows),
                   fmt::format("{} of {}", format_count(use.unused_files), format_count(use.files)),
                   format_count(use.unused_tokens), fmt::format("{:.1f}%{}", 100 * share, share > 0.1 ? " (!)" : ""),
                   options.train_tokens > 0 && use.windows > 0 ? fmt::format("{:.2f}", passes) : ""});
  }
  fmt::print("{}\n", table.str());
}

void inspect(const Options& options) {
  const auto tokenizer = make_tokenizer(options.tokenizer);
  Opened opened = open_all(options.patterns);
  TokenCounts counts;
  counts.of_token.resize(static_cast<size_t>(tokenizer->vocab_size()));
  count_all(opened, *tokenizer, counts);
  print_counts(counts, *tokenizer, options.most_frequent);
  print_windows(opened, options);
  print_samples(opened, *tokenizer, options);
  if (opened.faults.empty()) return;
  for (const std::string& fault : opened.faults) spdlog::error("{}", fault);
  throw InputError(fmt::format("{} of these shards cannot be used for training", opened.faults.size()));
}

}  // namespace

void add_data_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("data", "Inspect token shards");
  command->require_subcommand(1);
  CLI::App* inspection = command->add_subcommand("inspect", "Count tokens, show samples, find bad shards");
  auto options = std::make_shared<Options>();
  inspection->add_option("SHARD", options->patterns, "Shards, or patterns of them")
      ->transform(expanded_path())
      ->required();
  inspection->add_option("--tokenizer", options->tokenizer, "bytes, a SentencePiece model, or a Hugging Face folder")
      ->transform(expanded_path())
      ->capture_default_str();
  inspection->add_option("--top", options->most_frequent, "Number of most frequent tokens to show")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  inspection->add_option("--samples", options->samples, "Number of decoded samples")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  inspection->add_option("--sample-tokens", options->sample_tokens, "Tokens of a sample")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  inspection
      ->add_option("--sequence-length", options->sequence_lengths,
                   "N,N,...: show how much of the shards windows of these lengths use")
      ->delimiter(',')
      ->check(at_least(1))
      ->capture_default_str();
  inspection
      ->add_option("--train-tokens", options->train_tokens,
                   "Training tokens: show how many passes over the shards they are")
      ->check(at_least(0));
  inspection->callback([options] { inspect(*options); });
}

}  // namespace lighthouse
