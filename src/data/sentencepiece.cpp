#include "lighthouse/data/sentencepiece.h"

#include <fmt/format.h>

#include "lighthouse/core/error.h"

#ifdef LIGHTHOUSE_HAS_SENTENCEPIECE
#include <sentencepiece_processor.h>

#include "lighthouse/core/file.h"
#include "piece.h"
#include "sentencepiece_normalizer.h"
#include "word_cache.h"
#endif

namespace lighthouse {

namespace fs = std::filesystem;

#ifdef LIGHTHOUSE_HAS_SENTENCEPIECE
namespace {

// Concatenated protocol buffers merge: for a scalar field the last value wins. These bytes set
// ModelProto.normalizer_spec.add_dummy_prefix to false or true.
constexpr std::string_view kWithoutPrefix("\x1A\x02\x18\x00", 4);
constexpr std::string_view kWithPrefix("\x1A\x02\x18\x01", 4);

constexpr std::string_view kSpace = "\xE2\x96\x81";

class SentencePieceTokenizer final : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(const fs::path& path) : path_(path) {
    std::string model = read_file(path);
    load(model_, model);
    const bool keeps = keeps_text(model);
    words_apart_ = keeps && pieces_end_with_words();
    plain_bpe_ = keeps && is_bpe(model);
    load(continuing_, model.append(folds_lines() ? kWithPrefix : kWithoutPrefix));
    if (model_.eos_id() < 0) {
      throw refuse("it has no end-of-sentence piece, which serves as end of text; train the model with one");
    }
  }

  std::string name() const override { return path_.string(); }
  int64_t vocab_size() const override { return model_.GetPieceSize(); }
  int32_t end_of_text() const override { return model_.eos_id(); }
  int32_t begin_of_text() const override { return model_.bos_id() < 0 ? model_.eos_id() : model_.bos_id(); }
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    if (!words_apart_) return encode(model_, text, tokens);
    const size_t first = first_word(text);
    encode(model_, text.substr(0, first), tokens);
    encode_more(text.substr(first), tokens);
  }
  void encode_more(std::string_view text, std::vector<int32_t>& tokens) const override {
    if (!words_apart_) return encode(continuing_, text, tokens);
    const WordCache::Encode encode_word = [this](std::string_view word, std::vector<int32_t>& to) {
      encode(continuing_, word, to);
    };
    caches_.with_cache([&](WordCache& cache) {
      while (!text.empty()) {
        const size_t length = first_word(text);
        cache.append(text.substr(0, length), tokens, encode_word);
        text.remove_prefix(length);
      }
    });
  }
  bool requires_utf8() const override { return true; }

  SentencePieceSettings settings() const {
    std::vector<std::string> pieces;
    const auto status = model_.Encode("a", &pieces);
    const bool adds_space = status.ok() && !pieces.empty() && pieces[0].starts_with(kSpace);
    const int32_t begin = begin_of_text(), end = end_of_text();
    return {model_.IdToPiece(model_.unk_id()),
            model_.IdToPiece(begin),
            model_.IdToPiece(end),
            begin,
            end,
            adds_space,
            plain_bpe_};
  }

  std::string decode(int32_t token) const override {
    if (token < 0 || token >= vocab_size() || model_.IsControl(token)) return "";
    if (model_.IsUnknown(token)) return "\xEF\xBF\xBD";
    return bytes_of_piece(model_.IdToPiece(token));
  }

 private:
  using Processor = sentencepiece::SentencePieceProcessor;

  InputError refuse(const std::string& why) const {
    return InputError(fmt::format("{} cannot be used as a SentencePiece model: {}", path_.string(), why));
  }

  void load(Processor& processor, const std::string& model) const {
    const auto status = model.empty() ? sentencepiece::util::Status(sentencepiece::util::StatusCode::kDataLoss, "empty")
                                      : processor.LoadFromSerializedProto(model);
    if (!status.ok()) throw refuse(std::string(status.message()));
  }

  /// Whether the normalizer turns line ends and runs of spaces into one space, as the trainer's default does. Then the
  /// line end before a continued text is the space that the text begins with.
  bool folds_lines() const {
    std::vector<int32_t> lines, words;
    encode(model_, "a\n\nb", lines);
    encode(model_, "a b", words);
    return lines == words;
  }

  /// Whether no piece spans two words (first_word), and unknown characters become bytes and so do not join. Then words
  /// can be encoded one by one.
  bool pieces_end_with_words() const {
    if (!model_.IsByte(model_.PieceToId("<0x0A>"))) return false;
    for (int id = 0; id < model_.GetPieceSize(); ++id) {
      std::string_view piece = model_.IdToPiece(id);
      while (piece.starts_with(kSpace)) piece.remove_prefix(kSpace.size());
      if (piece.find(kSpace) != std::string_view::npos || piece.find('\n') != std::string_view::npos) return false;
    }
    return true;
  }

  void encode(const Processor& processor, std::string_view text, std::vector<int32_t>& tokens) const {
    std::vector<int> ids;
    const auto status = processor.Encode({text.data(), text.size()}, &ids);
    if (!status.ok()) throw InputError(fmt::format("{} cannot encode: {}", path_.string(), status.message()));
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  }

  fs::path path_;
  Processor model_;
  Processor continuing_;  // for text that continues: adds no space at its start, unless folds_lines()
  bool words_apart_ = false;
  bool plain_bpe_ = false;
  mutable WordCaches caches_;
};

}  // namespace

bool has_sentencepiece() {
  return true;
}

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const fs::path& path) {
  return std::make_unique<SentencePieceTokenizer>(path);
}

SentencePieceSettings sentencepiece_settings(const fs::path& path) {
  return SentencePieceTokenizer(path).settings();
}

#else

namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw InputError(
      fmt::format("{} needs SentencePiece, without which this program was built; install libsentencepiece-dev "
                  "and build again (scripts/setup.sh does)",
                  what));
}

}  // namespace

bool has_sentencepiece() {
  return false;
}

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const fs::path& path) {
  refuse(path.string());
}

SentencePieceSettings sentencepiece_settings(const fs::path& path) {
  refuse(path.string());
}

void train_sentencepiece(const SentencePieceTraining& /*training*/) {
  refuse("training a tokenizer");
}

#endif

}  // namespace lighthouse
