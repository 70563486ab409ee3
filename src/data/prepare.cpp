#include "lighthouse/data/prepare.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <string_view>

#include "encode.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/shard.h"
#include "lighthouse/data/text_file.h"
#include "text_check.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPieceBytes = int64_t{8} << 20;
constexpr int64_t kFewestTokens = 2;  // of a split: a token and its target

/// A text file: where its text begins, and its size when it was checked.
struct Text {
  fs::path path;
  int64_t begin = 0;
  int64_t bytes = 0;
};

void check_options(const PrepareOptions& options) {
  if (options.files.empty()) throw InputError("no text file was given");
  if (!(options.validation_share >= 0 && options.validation_share <= 0.5)) {
    throw InputError(fmt::format("the validation share is {}; expected 0 to 0.5", options.validation_share));
  }
  if (options.shard_tokens < kFewestTokens || options.shard_tokens > ShardWriter::kMaxTokens) {
    throw InputError(fmt::format("the size of a shard is {} tokens; expected {} to {}", options.shard_tokens,
                                 kFewestTokens, ShardWriter::kMaxTokens));
  }
}

int64_t checked_begin(const fs::path& path) {
  try {
    return begin_of_text(path);
  } catch (const InputError& error) {
    throw InputError(fmt::format("{} (--as-is takes a file byte by byte, whatever it is)", error.what()));
  }
}

/// The files that have text. Adds those that have none to `empty`, unless that is all of them.
std::vector<Text> open_texts(const PrepareOptions& options, std::vector<fs::path>& empty) {
  std::vector<Text> texts;
  for (const fs::path& path : options.files) {
    const MappedFile file(path);  // says why a file cannot be read
    const int64_t begin = options.as_is ? 0 : checked_begin(path);
    const int64_t bytes = std::ssize(file.bytes()) - begin;
    if (bytes == 0) {
      empty.push_back(path);
    } else {
      texts.push_back({path, begin, bytes});
    }
  }
  if (texts.empty()) {
    throw InputError(fmt::format("{} is empty{}; expected text", empty.front().string(),
                                 empty.size() == 1 ? "" : ", and so are all other files"));
  }
  return texts;
}

/// How many bytes of text (one more for each end of text) come before validation.
int64_t find_boundary(const std::vector<Text>& texts, double validation_share) {
  int64_t total = 0;
  for (const Text& text : texts) total += text.bytes + 1;
  const int64_t validation = std::llround(validation_share * static_cast<double>(total));
  if (total - validation < kFewestTokens || (validation_share > 0 && validation < kFewestTokens)) {
    throw InputError(
        fmt::format("{} of text are too few to split {} of them off for validation; give more text, or a "
                    "validation share of 0",
                    format_bytes(total), validation_share));
  }
  return total - validation;
}

std::vector<fs::path> shards_in(const fs::path& directory) {
  std::vector<fs::path> shards;
  if (!fs::is_directory(directory)) return shards;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if ((name.starts_with("train-") || name.starts_with("val-")) && name.ends_with(".bin")) {
      shards.push_back(entry.path());
    }
  }
  std::sort(shards.begin(), shards.end());
  return shards;
}

/// The shards that will be replaced. Refuses them unless the user, now or in a call that was killed, said they may be.
std::vector<fs::path> check_old_shards(const PrepareOptions& options) {
  std::vector<fs::path> old = shards_in(options.directory);
  if (!old.empty() && !options.overwrite && !fs::exists(options.directory / kUnfinishedMarker)) {
    throw InputError(fmt::format("{} has shards already ({}); choose another folder, or --overwrite to replace them",
                                 options.directory.string(), old.front().filename().string()));
  }
  for (const fs::path& shard : old) {
    for (const fs::path& text : options.files) {
      if (fs::equivalent(shard, text)) throw InputError(text.string() + " would be replaced by its own shards");
    }
  }
  return old;
}

constexpr std::string_view kStagingPrefix = "prepare.partial-";

/// Whether `name` is a staging folder's whose process is gone.
bool is_abandoned(const std::string& name) {
  if (!name.starts_with(kStagingPrefix)) return false;
  pid_t process = 0;
  const char* first = name.data() + kStagingPrefix.size();
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(first, last, process);
  if (error != std::errc() || end != last || process <= 0) return false;
  return process == getpid() || (kill(process, 0) != 0 && errno == ESRCH);
}

/// The folder in which shards are made. It goes when this does, and so do the folders above it that it had to make,
/// unless there is something in them by then.
class Staging {
 public:
  explicit Staging(const fs::path& directory) : path_(directory / fmt::format("{}{}", kStagingPrefix, getpid())) {
    for (fs::path folder = directory; !folder.empty() && !fs::exists(folder); folder = folder.parent_path()) {
      made_.push_back(folder);
    }
    make_directories(directory);
    std::vector<fs::path> abandoned;
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (is_abandoned(entry.path().filename().string())) abandoned.push_back(entry.path());
    }
    for (const fs::path& folder : abandoned) fs::remove_all(folder);
    make_directories(path_);
  }
  ~Staging() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
    for (const fs::path& folder : made_) fs::remove(folder, ignored);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  std::vector<fs::path> made_;  // innermost first
};

/// The shards of one split, each begun when the one before is full.
class Split {
 public:
  Split(fs::path directory, std::string_view name, int bytes_per_token, int64_t shard_tokens)
      : directory_(std::move(directory)), name_(name), bytes_per_token_(bytes_per_token), shard_tokens_(shard_tokens) {}

  void append(std::span<const int32_t> tokens) {
    total_ += std::ssize(tokens);
    while (!tokens.empty()) {
      if (!shard_) shard_.emplace(directory_ / file_name(shards_++), bytes_per_token_);
      const auto count = static_cast<size_t>(std::min(std::ssize(tokens), shard_tokens_ - shard_->size()));
      shard_->append(tokens.first(count));
      tokens = tokens.subspan(count);
      if (shard_->size() == shard_tokens_) finish();
    }
  }

  void finish() {
    if (shard_) shard_->commit();
    shard_.reset();
  }

  int64_t total() const { return total_; }

  std::vector<std::string> file_names() const {
    std::vector<std::string> names;
    for (int64_t i = 0; i < shards_; ++i) names.push_back(file_name(i));
    return names;
  }

 private:
  std::string file_name(int64_t index) const { return fmt::format("{}-{:05}.bin", name_, index); }

  fs::path directory_;
  std::string name_;
  int bytes_per_token_;
  int64_t shard_tokens_;
  int64_t total_ = 0;
  int64_t shards_ = 0;
  std::optional<ShardWriter> shard_;
};

/// Encodes the texts and gives each token to the split that it belongs to.
class Divider {
 public:
  Divider(const Tokenizer& tokenizer, int64_t boundary, Split& train, Split& validation)
      : tokenizer_(tokenizer), before_boundary_(boundary), train_(train), validation_(validation) {}

  /// `begins`: whether a document begins here.
  void add(std::string_view text, bool begins) {
    const size_t first = before_boundary(text);
    encode(text.substr(0, first), begins, train_);
    encode(text.substr(first), begins && first == 0, validation_);
    before_boundary_ -= static_cast<int64_t>(first);
    if (first < text.size()) before_boundary_ = 0;
  }

  void end_text() {
    const int32_t token = tokenizer_.end_of_text();
    (before_boundary_ > 0 ? train_ : validation_).append({&token, 1});
    before_boundary_ -= 1;
  }

 private:
  /// Bytes of `text` that are trained on: to the boundary, or to the end of the line in which it lies.
  size_t before_boundary(std::string_view text) const {
    if (before_boundary_ <= 0) return 0;
    const auto exact = static_cast<size_t>(std::min(std::ssize(text), before_boundary_));
    if (!tokenizer_.takes_text_alone() || exact == text.size()) return exact;
    const size_t line_end = text.find('\n', exact - 1);
    return line_end == std::string_view::npos ? text.size() : line_end + 1;
  }

  void encode(std::string_view text, bool begins, Split& split) {
    if (text.empty()) return;
    tokens_.clear();
    if (tokenizer_.takes_text_alone()) {
      encode_in_parts(tokenizer_, text, begins, tokens_);
    } else {
      tokenizer_.encode(text, tokens_);
    }
    split.append(tokens_);
  }

  const Tokenizer& tokenizer_;
  int64_t before_boundary_;
  Split& train_;
  Split& validation_;
  std::vector<int32_t> tokens_;
};

/// Gives one text to the divider, piece by piece. Returns the lines that were left out.
int64_t read_text(const Text& text, const PrepareOptions& options, bool text_alone, Divider& divider,
                  const std::function<void(int64_t)>& done) {
  std::ifstream file(text.path, std::ios::binary);
  file.seekg(text.begin);
  TextCheck check(text.path, options.skip_broken);
  std::string piece;  // begins with what the one before left after its last line end
  bool begins = true;
  for (int64_t left = text.bytes; left > 0;) {
    const int64_t more = std::min(left, kPieceBytes);
    const size_t kept = piece.size();
    piece.resize(kept + static_cast<size_t>(more));
    if (!file.read(piece.data() + kept, more)) {
      throw InputError(fmt::format("cannot read {}: it became shorter while it was read", text.path.string()));
    }
    left -= more;
    const size_t whole = text_alone && left > 0 ? cut_at_line_end(piece) : piece.size();
    const std::string_view ready(piece.data(), whole);
    divider.add(text_alone ? check.sound(ready) : ready, begins);
    begins = false;
    piece.erase(0, whole);
    done(more);
  }
  divider.end_text();
  return check.skipped_lines();
}

int64_t read_texts(const std::vector<Text>& texts, const PrepareOptions& options, bool text_alone, Divider& divider,
                   const PrepareProgress& progress) {
  int64_t all = 0;
  int64_t done = 0;
  int64_t skipped = 0;
  for (const Text& text : texts) all += text.bytes;
  for (const Text& text : texts) {
    skipped += read_text(text, options, text_alone, divider, [&](int64_t more) {
      done += more;
      if (progress) progress(done, all);
    });
  }
  return skipped;
}

/// Where lines are not cut apart, the last of them may have taken all that was to validate.
void check_split(const PrepareOptions& options, const Split& train, const Split& validation) {
  if (train.total() >= kFewestTokens && (options.validation_share == 0 || validation.total() >= kFewestTokens)) return;
  throw InputError(
      fmt::format("the text cannot be split at the end of a line into {} and {} of it; give more text, or a validation "
                  "share of 0",
                  1 - options.validation_share, options.validation_share));
}

/// Moves finished shards to their place and removes those that they replace. The marker stands meanwhile: a part of the
/// shards is not the data.
std::vector<fs::path> publish(const fs::path& from, const fs::path& to, const std::vector<std::string>& names,
                              const std::vector<fs::path>& old) {
  write_file(to / kUnfinishedMarker, "lighthouse prepare was stopped here; run it again\n");
  std::vector<fs::path> shards;
  for (const std::string& name : names) {
    shards.push_back(to / name);
    fs::rename(from / name, shards.back());
  }
  for (const fs::path& path : old) {
    if (std::find(shards.begin(), shards.end(), path) == shards.end()) fs::remove(path);
  }
  sync_directory(to);
  fs::remove(to / kUnfinishedMarker);
  sync_directory(to);
  return shards;
}

PrepareResult prepare_shards(const PrepareOptions& options, const Tokenizer& tokenizer,
                             const PrepareProgress& progress) {
  check_options(options);
  std::vector<fs::path> empty;
  const std::vector<Text> texts = open_texts(options, empty);
  const int64_t boundary = find_boundary(texts, options.validation_share);
  const std::vector<fs::path> old = check_old_shards(options);

  const Staging staging(options.directory);
  const int width = tokenizer.vocab_size() <= 65536 ? 2 : 4;
  Split train(staging.path(), "train", width, options.shard_tokens);
  Split validation(staging.path(), "val", width, options.shard_tokens);
  Divider divider(tokenizer, boundary, train, validation);
  const int64_t skipped = read_texts(texts, options, tokenizer.takes_text_alone(), divider, progress);
  check_split(options, train, validation);
  train.finish();
  validation.finish();

  std::vector<std::string> names = train.file_names();
  std::ranges::copy(validation.file_names(), std::back_inserter(names));
  return {train.total(), validation.total(), skipped, std::move(empty),
          publish(staging.path(), options.directory, names, old)};
}

}  // namespace

PrepareResult prepare(const PrepareOptions& options, const Tokenizer& tokenizer, const PrepareProgress& progress) {
  try {
    return prepare_shards(options, tokenizer, progress);
  } catch (const fs::filesystem_error& error) {
    throw InputError(fmt::format("cannot prepare {}: {}", options.directory.string(), error.what()));
  }
}

}  // namespace lighthouse
