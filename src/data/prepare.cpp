#include "lighthouse/data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/shard.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPieceBytes = int64_t{4} << 20;

void check_options(const PrepareOptions& options) {
  if (options.files.empty()) throw InputError("no text file was given");
  if (!(options.validation_share >= 0 && options.validation_share <= 0.5)) {
    throw InputError(fmt::format("the validation share is {}; expected 0 to 0.5", options.validation_share));
  }
  // A shard's header counts its tokens in 32 bits.
  if (options.shard_tokens < 2 || options.shard_tokens > INT32_MAX) {
    throw InputError(fmt::format("the shard size is {} tokens; expected 2 to {}", options.shard_tokens, INT32_MAX));
  }
}

std::vector<MappedFile> open_texts(const PrepareOptions& options) {
  std::vector<MappedFile> texts;
  for (const fs::path& path : options.files) {
    texts.emplace_back(path);
    if (texts.back().bytes().empty()) throw InputError(path.string() + " is empty");
  }
  return texts;
}

std::vector<fs::path> shards_in(const fs::path& directory) {
  std::vector<fs::path> shards;
  if (!fs::is_directory(directory)) return shards;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name.rfind("train-", 0) == 0 || name.rfind("val-", 0) == 0;
    if (ours && entry.path().extension() == ".bin") shards.push_back(entry.path());
  }
  return shards;
}

/// The shards of one split, each begun when the one before is full.
class Split {
 public:
  Split(fs::path directory, std::string name, int bytes_per_token, int64_t shard_tokens)
      : directory_(std::move(directory)),
        name_(std::move(name)),
        bytes_per_token_(bytes_per_token),
        shard_tokens_(shard_tokens) {}

  void append(std::span<const int32_t> tokens) {
    total_ += static_cast<int64_t>(tokens.size());
    while (!tokens.empty()) {
      if (shards_.empty() || shards_.back()->size() == shard_tokens_) begin_shard();
      const int64_t room = shard_tokens_ - shards_.back()->size();
      const size_t count = std::min(tokens.size(), static_cast<size_t>(room));
      shards_.back()->append(tokens.first(count));
      tokens = tokens.subspan(count);
    }
  }

  void commit(std::vector<fs::path>& written) {
    for (auto& shard : shards_) shard->commit();
    written.insert(written.end(), paths_.begin(), paths_.end());
  }

  int64_t total() const { return total_; }

 private:
  void begin_shard() {
    paths_.push_back(directory_ / fmt::format("{}-{:05}.bin", name_, shards_.size()));
    shards_.push_back(std::make_unique<ShardWriter>(paths_.back(), bytes_per_token_));
  }

  fs::path directory_;
  std::string name_;
  int bytes_per_token_;
  int64_t shard_tokens_;
  int64_t total_ = 0;
  std::vector<std::unique_ptr<ShardWriter>> shards_;
  std::vector<fs::path> paths_;
};

/// Takes the tokens of a piece of text, end of text behind a file's last one, and the piece's bytes.
using Visit = std::function<void(std::span<const int32_t>, int64_t bytes)>;

void for_each_piece(const std::vector<MappedFile>& texts, const Tokenizer& tokenizer, const Visit& visit) {
  std::vector<int32_t> tokens;
  for (const MappedFile& text : texts) {
    const std::string_view all(reinterpret_cast<const char*>(text.bytes().data()), text.bytes().size());
    for (size_t begin = 0; begin < all.size(); begin += kPieceBytes) {
      const std::string_view piece = all.substr(begin, kPieceBytes);
      tokens.clear();
      tokenizer.encode(piece, tokens);
      if (begin + piece.size() == all.size()) tokens.push_back(tokenizer.end_of_text());
      visit(tokens, static_cast<int64_t>(piece.size()));
    }
  }
}

}  // namespace

PrepareResult prepare(const PrepareOptions& options, const Tokenizer& tokenizer, const PrepareProgress& progress) {
  check_options(options);
  const std::vector<MappedFile> texts = open_texts(options);
  const std::vector<fs::path> old = shards_in(options.directory);
  if (!old.empty() && !options.overwrite) {
    throw InputError(fmt::format("{} holds shards already, {} for example; --overwrite replaces them",
                                 options.directory.string(), old.front().filename().string()));
  }
  int64_t bytes = 0;
  for (const MappedFile& text : texts) bytes += static_cast<int64_t>(text.bytes().size());
  // Where validation begins, in bytes of text: known before a token is made, whatever the tokenizer.
  const auto train_bytes = bytes - static_cast<int64_t>(options.validation_share * static_cast<double>(bytes));

  make_directories(options.directory);
  const int width = tokenizer.vocab_size() <= 65536 ? 2 : 4;
  Split train(options.directory, "train", width, options.shard_tokens);
  Split validation(options.directory, "val", width, options.shard_tokens);
  int64_t done = 0;
  for_each_piece(texts, tokenizer, [&](std::span<const int32_t> tokens, int64_t piece) {
    // The share of the piece that lies before the border; exact where a byte is a token.
    const int64_t before = std::clamp<int64_t>(train_bytes - done, 0, piece);
    const auto count = before == piece ? tokens.size() : tokens.size() * static_cast<size_t>(before) / piece;
    train.append(tokens.first(count));
    validation.append(tokens.subspan(count));
    done += piece;
    if (progress) progress(done, bytes);
  });
  if (train.total() < 2 || (options.validation_share > 0 && validation.total() < 2)) {
    throw InputError(fmt::format("{} of text are too few to split into training and validation", format_bytes(bytes)));
  }
  PrepareResult result{train.total(), validation.total(), {}};
  train.commit(result.shards);
  validation.commit(result.shards);
  for (const fs::path& path : old) {
    if (std::find(result.shards.begin(), result.shards.end(), path) == result.shards.end()) fs::remove(path);
  }
  return result;
}

}  // namespace lighthouse
