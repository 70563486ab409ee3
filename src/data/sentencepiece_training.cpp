#ifdef LIGHTHOUSE_HAS_SENTENCEPIECE
#include <fmt/format.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/sentencepiece.h"
#include "lighthouse/data/utf8.h"

namespace sentencepiece {
void SetRandomGeneratorSeed(unsigned int seed);
}

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFewestPieces = 300;  // 256 bytes, 3 of control, and some to learn
constexpr int64_t kMostPieces = 1'000'000;

/// Hands out the lines of files. Longer ones, which the trainer would leave out, come in parts.
class Lines final : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::vector<fs::path>& files) : files_(files) { Next(); }

  bool done() const override { return done_; }
  const std::string& value() const override { return line_; }
  sentencepiece::util::Status status() const override { return {}; }

  void Next() override {
    while (rest_.empty()) {
      if (next_file_ == files_.size()) {
        done_ = true;
        return;
      }
      open(files_[next_file_++]);
    }
    constexpr size_t kLongest = 4000;
    size_t length = std::min(rest_.find('\n'), rest_.size());
    if (length > kLongest) {
      const size_t space = rest_.rfind(' ', kLongest);
      length = space == std::string_view::npos || space == 0 ? whole_characters(rest_.substr(0, kLongest)) : space;
    }
    line_.assign(rest_.substr(0, length));
    rest_.remove_prefix(std::min(rest_.size(), length + (length < rest_.size() && rest_[length] == '\n' ? 1 : 0)));
  }

 private:
  void open(const fs::path& path) {
    file_ = std::make_unique<MappedFile>(path);
    rest_ = {reinterpret_cast<const char*>(file_->bytes().data()), file_->bytes().size()};
    const size_t broken = first_broken_utf8(rest_);
    if (broken == std::string_view::npos) return;
    const auto line = std::count(rest_.begin(), rest_.begin() + static_cast<ptrdiff_t>(broken), '\n') + 1;
    throw InputError(fmt::format("{}, line {}: this is not UTF-8", path.string(), line));
  }

  const std::vector<fs::path>& files_;
  size_t next_file_ = 0;
  std::unique_ptr<MappedFile> file_;
  std::string_view rest_;
  std::string line_;
  bool done_ = false;
};

void check(const SentencePieceTraining& training) {
  if (training.files.empty()) throw InputError("no text file was given to train on");
  if (training.vocab_size < kFewestPieces || training.vocab_size > kMostPieces) {
    throw InputError(fmt::format("the vocabulary is to have {} pieces; expected {} to {}", training.vocab_size,
                                 kFewestPieces, kMostPieces));
  }
  if (training.max_sentences < 0) throw InputError("the number of lines to look at is negative");
  if (fs::exists(training.output)) {
    throw InputError(fmt::format("{} is there already; nothing is written over", training.output.string()));
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
  Lines lines(training.files);
  std::string model;
  sentencepiece::SetRandomGeneratorSeed(42);
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments_of(training), &lines, &model);
  if (!status.ok()) {
    throw InputError(
        fmt::format("SentencePiece could not train {} pieces on this text: {}; give more text or a smaller "
                    "--vocab-size",
                    format_count(training.vocab_size), status.message()));
  }
  if (training.output.has_parent_path()) make_directories(training.output.parent_path());
  write_file(training.output, model);
}

}  // namespace lighthouse
#endif
