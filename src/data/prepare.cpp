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
#include "lighthouse/core/units.h"
#include "lighthouse/data/shard.h"
#include "lighthouse/data/text_file.h"
#include "text_check.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBlockBytes = 8 * kMebibyte;
constexpr int64_t kFewestTokens = 2;  // of a split: one token and its target

/// A text file: the offset of its text and the number of bytes after it, at the time of the check.
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
    throw InputError(fmt::format("a shard has {} tokens; expected {} to {}", options.shard_tokens, kFewestTokens,
                                 ShardWriter::kMaxTokens));
  }
}

int64_t checked_begin(const fs::path& path) {
  try {
    return begin_of_text(path);
  } catch (const InputError& error) {
    throw InputError(fmt::format("{} (--as-is reads any file byte by byte)", error.what()));
  }
}

/// The files with text. Adds files without text to `empty`; throws if no file has text.
std::vector<Text> open_texts(const PrepareOptions& options, std::vector<fs::path>& empty) {
  std::vector<Text> texts;
  for (const fs::path& path : options.files) {
    const MappedFile file(path);  // throws with the reason if the file cannot be read
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

/// The number of bytes before the validation text, with one byte for each end of text.
int64_t find_boundary(const std::vector<Text>& texts, double validation_share) {
  int64_t total = 0;
  for (const Text& text : texts) total += text.bytes + 1;
  const int64_t validation = std::llround(validation_share * static_cast<double>(total));
  if (total - validation < kFewestTokens || (validation_share > 0 && validation < kFewestTokens)) {
    throw InputError(
        fmt::format("{} of text are too little to take a fraction of {} for validation; give more text, or a "
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

/// The shards that will be replaced. Throws InputError unless the user allowed it, now or in a call that was killed.
std::vector<fs::path> check_old_shards(const PrepareOptions& options) {
  std::vector<fs::path> old = shards_in(options.directory);
  if (!old.empty() && !options.overwrite && !fs::exists(options.directory / kUnfinishedMarker)) {
    throw InputError(fmt::format("{} already has shards ({}); choose another folder, or replace them with --overwrite",
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

/// Whether `name` is the staging folder of a process that no longer exists.
bool is_abandoned(const std::string& name) {
  if (!name.starts_with(kStagingPrefix)) return false;
  pid_t process = 0;
  const char* first = name.data() + kStagingPrefix.size();
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(first, last, process);
  if (error != std::errc() || end != last || process <= 0) return false;
  return process == getpid() || (kill(process, 0) != 0 && errno == ESRCH);
}

/// The folder in which shards are written. The destructor removes it, and those of its parents that the constructor
/// created and that are still empty.
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

/// Writes the shards of one split, one after another.
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

/// Encodes the texts and appends each token to the split that it belongs to.
class Splitter {
 public:
  Splitter(const Tokenizer& tokenizer, int64_t boundary, Split& train, Split& validation)
      : tokenizer_(tokenizer), before_boundary_(boundary), train_(train), validation_(validation) {}

  /// `begins`: whether `text` is the start of a document.
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
  /// The number of bytes of `text` for training: up to the boundary, or to the end of the line that contains it.
  size_t before_boundary(std::string_view text) const {
    if (before_boundary_ <= 0) return 0;
    const auto exact = static_cast<size_t>(std::min(std::ssize(text), before_boundary_));
    if (!tokenizer_.requires_utf8() || exact == text.size()) return exact;
    const size_t line_end = text.find('\n', exact - 1);
    return line_end == std::string_view::npos ? text.size() : line_end + 1;
  }

  void encode(std::string_view text, bool begins, Split& split) {
    if (text.empty()) return;
    tokens_.clear();
    if (tokenizer_.requires_utf8()) {
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

/// Feeds one text to the splitter, block by block. Returns the number of lines dropped.
int64_t read_text(const Text& text, const PrepareOptions& options, bool utf8_only, Splitter& splitter,
                  const std::function<void(int64_t)>& done) {
  std::ifstream file(text.path, std::ios::binary);
  file.seekg(text.begin);
  TextCheck check(text.path, options.skip_broken);
  std::string piece;  // starts with the incomplete line at the end of the previous block
  bool begins = true;
  for (int64_t left = text.bytes; left > 0;) {
    const int64_t more = std::min(left, kBlockBytes);
    const size_t kept = piece.size();
    piece.resize(kept + static_cast<size_t>(more));
    if (!file.read(piece.data() + kept, more)) {
      throw InputError(fmt::format("cannot read {}: the file became shorter while it was read", text.path.string()));
    }
    left -= more;
    const size_t whole = utf8_only && left > 0 ? cut_at_line_end(piece) : piece.size();
    const std::string_view ready(piece.data(), whole);
    splitter.add(utf8_only ? check.without_invalid_lines(ready) : ready, begins);
    begins = false;
    piece.erase(0, whole);
    done(more);
  }
  splitter.end_text();
  return check.skipped_lines();
}

int64_t read_texts(const std::vector<Text>& texts, const PrepareOptions& options, bool utf8_only, Splitter& splitter,
                   const PrepareProgress& progress) {
  int64_t all = 0;
  int64_t done = 0;
  int64_t skipped = 0;
  for (const Text& text : texts) all += text.bytes;
  for (const Text& text : texts) {
    skipped += read_text(text, options, utf8_only, splitter, [&](int64_t more) {
      done += more;
      if (progress) progress(done, all);
    });
  }
  return skipped;
}

/// A split at a line end may leave too few tokens on one side.
void check_split(const PrepareOptions& options, const Split& train, const Split& validation) {
  if (train.total() >= kFewestTokens && (options.validation_share == 0 || validation.total() >= kFewestTokens)) return;
  throw InputError(fmt::format(
      "the text has no line end at which to split it into fractions of {} and {}; give more text, or a validation "
      "share of 0",
      1 - options.validation_share, options.validation_share));
}

/// Moves finished shards to `to` and removes the shards that they replace. The marker exists in the meantime, because
/// some of the shards are not the whole data.
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
  Splitter splitter(tokenizer, boundary, train, validation);
  const int64_t skipped = read_texts(texts, options, tokenizer.requires_utf8(), splitter, progress);
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
