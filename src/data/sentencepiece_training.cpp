#ifdef LIGHTHOUSE_HAS_SENTENCEPIECE
#include <fmt/format.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/core/utf8.h"
#include "lighthouse/data/sentencepiece.h"
#include "lighthouse/data/text_file.h"
#include "text_check.h"

namespace sentencepiece {
void SetRandomGeneratorSeed(unsigned int seed);
}

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFewestPieces = 300;  // 256 bytes, 3 control pieces and some learned ones
constexpr int64_t kMostPieces = 1'000'000;

/// Iterates over the lines of files. Splits long lines, which the trainer would skip.
class Lines final : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const SentencePieceTraining& training) : training_(training) { Next(); }

  bool done() const override { return done_; }
  const std::string& value() const override { return part_; }
  sentencepiece::util::Status status() const override { return {}; }

  void Next() override {
    while (line_.empty()) {
      if (!next_line()) {
        done_ = true;
        return;
      }
    }
    constexpr size_t kLongest = 4000;
    size_t length = line_.size();
    if (length > kLongest) {
      const size_t space = line_.rfind(' ', kLongest);
      length = space == std::string_view::npos || space == 0 ? whole_characters(line_.substr(0, kLongest)) : space;
    }
    part_.assign(line_.substr(0, length));
    line_.remove_prefix(length);
  }

 private:
  /// Advances to the next valid line, which may be empty. Returns false at the end.
  bool next_line() {
    while (rest_.empty()) {
      if (next_file_ == training_.files.size()) return false;
      const fs::path& path = training_.files[next_file_++];
      file_ = std::make_unique<MappedFile>(path);
      check_ = std::make_unique<TextCheck>(path, training_.skip_broken);
      rest_ = {reinterpret_cast<const char*>(file_->bytes().data()), file_->bytes().size()};
      rest_.remove_prefix(static_cast<size_t>(begin_of_text(path)));
    }
    const size_t end = std::min(rest_.find('\n'), rest_.size() - 1) + 1;
    line_ = check_->without_invalid_lines(rest_.substr(0, end));
    if (line_.ends_with('\n')) line_.remove_suffix(1);
    rest_.remove_prefix(end);
    return true;
  }

  const SentencePieceTraining& training_;
  size_t next_file_ = 0;
  std::unique_ptr<MappedFile> file_;
  std::unique_ptr<TextCheck> check_;
  std::string_view rest_, line_;
  std::string part_;
  bool done_ = false;
};

void check(const SentencePieceTraining& training) {
  if (training.files.empty()) throw InputError("no text file was given; name at least one to train on");
  if (training.vocab_size < kFewestPieces || training.vocab_size > kMostPieces) {
    throw InputError(fmt::format("the vocabulary size is {} pieces; expected {} to {}", training.vocab_size,
                                 kFewestPieces, kMostPieces));
  }
  if (training.max_sentences < 0)
    throw InputError(fmt::format("max_sentences is {}; expected 0 (all lines) or more", training.max_sentences));
  if (fs::exists(training.output)) {
    throw InputError(
        fmt::format("{} already exists; choose another name or remove the file", training.output.string()));
  }
}

std::unordered_map<std::string, std::string> arguments_of(const SentencePieceTraining& training) {
  return {{"model_type", training.kind == SentencePieceKind::kBpe ? "bpe" : "unigram"},
          {"vocab_size", std::to_string(training.vocab_size)},
          {"input_sentence_size", std::to_string(training.max_sentences)},
          {"shuffle_input_sentence", "true"},
          {"num_threads", std::to_string(std::max(1U, std::thread::hardware_concurrency()))},
          {"train_extremely_large_corpus", training.max_sentences == 0 ? "true" : "false"},
          {"character_coverage", "0.9999"},
          {"byte_fallback", "true"},
          {"split_digits", "true"},
          {"allow_whitespace_only_pieces", "true"},
          {"normalization_rule_name", "identity"},
          {"remove_extra_whitespaces", "false"},
          {"add_dummy_prefix", "false"},
          {"minloglevel", "2"}};
}

}  // namespace

void train_sentencepiece(const SentencePieceTraining& training) {
  check(training);
  if (training.output.has_parent_path()) make_directories(training.output.parent_path());
  AtomicFile file(training.output);  // throws before the training if the file cannot be written
  Lines lines(training);
  std::string model;
  sentencepiece::SetRandomGeneratorSeed(42);
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments_of(training), &lines, &model);
  if (!status.ok()) {
    throw InputError(
        fmt::format("SentencePiece could not train {} pieces on this text: {}; give more text or a smaller "
                    "--vocab-size",
                    format_count(training.vocab_size), status.message()));
  }
  file.write(model);
  file.commit();
}

}  // namespace lighthouse
#endif
