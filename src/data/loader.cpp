#include "lighthouse/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"

namespace lighthouse {

WindowUse window_use(std::span<const int64_t> shards, int64_t sequence_length) {
  WindowUse use;
  for (const int64_t tokens : shards) {
    const int64_t windows = (tokens - 1) / sequence_length;
    ++use.files;
    use.tokens += tokens;
    use.windows += windows;
    use.unused_files += windows == 0 ? 1 : 0;
    use.unused_tokens += windows == 0 ? tokens : tokens - windows * sequence_length - 1;
  }
  return use;
}

WindowedSource::WindowedSource(const std::string& pattern, int64_t sequence_length, int64_t vocab_size)
    : sequence_length_(sequence_length), vocab_size_(vocab_size) {
  if (sequence_length < 1)
    throw InputError(fmt::format("the sequence length is {}; expected 1 or more", sequence_length));
  int64_t bytes = 0;
  for (const auto& path : match_files(pattern)) {
    const TokenShard& shard = shards_.emplace_back(path);
    first_window_.push_back(windows_);
    windows_ += (shard.size() - 1) / sequence_length;
    tokens_ += shard.size();
    bytes += shard.size() * shard.bytes_per_token();
  }
  if (windows_ == 0) {
    const auto longest = std::ranges::max_element(shards_, {}, &TokenShard::size);
    throw InputError(
        fmt::format("a sequence length of {} is too long for {}: a window needs {} tokens, and its longest "
                    "shard, {}, has {}; use a sequence length of at most {}, or prepare more text in larger "
                    "shards",
                    format_count(sequence_length), pattern, format_count(sequence_length + 1), longest->path().string(),
                    format_count(longest->size()), format_count(longest->size() - 1)));
  }
  if (bytes > kScanAtOpening) return;
  for (const TokenShard& shard : shards_) shard.for_each_block([](auto) {}, vocab_size);
}

void WindowedSource::read(int64_t index, std::span<int32_t> out) const {
  if (index < 0 || index >= windows_ || std::ssize(out) != sequence_length_ + 1) {
    throw std::logic_error("WindowedSource::read: no such window");
  }
  // The last shard whose first window is at most `index`. A shard without windows has the same first window as the next
  // shard.
  const auto after = std::upper_bound(first_window_.begin(), first_window_.end(), index);
  const auto place = static_cast<size_t>(after - first_window_.begin() - 1);
  shards_[place].read((index - first_window_[place]) * sequence_length_, out, vocab_size_);
}

Loader::Loader(const std::vector<DataSource>& sources, int64_t sequence_length, int64_t vocab_size, uint64_t seed)
    : sequence_length_(sequence_length), seed_(seed) {
  if (sources.empty()) throw InputError("no data to train on: the list of sources is empty");
  for (const DataSource& source : sources) {
    if (!std::isfinite(source.weight) || source.weight <= 0) {
      throw InputError(fmt::format("the weight of {} is {}; expected a positive number", source.path, source.weight));
    }
    sources_.emplace_back(source.path, sequence_length, vocab_size);
    weights_.push_back(source.weight);
  }
  position_.tokens.resize(sources.size());
  position_.mixed.resize(sources.size());
}

size_t Loader::next_source(const LoaderPosition& position) const {
  const auto progress = [&](size_t i) {
    return static_cast<double>(position.mixed[i] + sequence_length_) / weights_[i];
  };
  size_t furthest_behind = 0;
  for (size_t i = 1; i < sources_.size(); ++i) {
    if (progress(i) < progress(furthest_behind)) furthest_behind = i;
  }
  return furthest_behind;
}

void Loader::read_window(size_t source, int64_t drawn, std::span<int32_t> out) const {
  const int64_t windows = sources_[source].windows();
  const RandomStream stream(seed_, fmt::format("data.{}.epoch.{}", source, drawn / windows));
  const Permutation shuffled(static_cast<uint64_t>(windows), stream);
  sources_[source].read(static_cast<int64_t>(shuffled(static_cast<uint64_t>(drawn % windows))), out);
}

void Loader::next(int64_t global, int64_t first, int64_t sequences, std::span<int32_t> tokens) {
  const int64_t window = sequence_length_ + 1;
  if (first < 0 || sequences < 0 || first > global - sequences || std::ssize(tokens) != sequences * window) {
    throw std::logic_error("Loader::next: the rank's sequences are not part of the batch");
  }
  LoaderPosition position = position_;
  for (int64_t i = 0; i < global; ++i) {
    const size_t source = next_source(position);
    if (i >= first && i < first + sequences) {
      const auto out = tokens.subspan(static_cast<size_t>((i - first) * window), static_cast<size_t>(window));
      read_window(source, position.tokens[source] / sequence_length_, out);
    }
    position.tokens[source] += sequence_length_;
    position.mixed[source] += sequence_length_;
  }
  position_ = std::move(position);
}

void Loader::seek(const LoaderPosition& position) {
  if (position.tokens.size() != sources_.size() || position.mixed.size() != sources_.size()) {
    throw InputError(fmt::format("the checkpoint's data position is for {} sources; the config lists {}",
                                 position.tokens.size(), sources_.size()));
  }
  if (std::ranges::any_of(position.tokens, [](int64_t tokens) { return tokens < 0; })) {
    throw InputError("the checkpoint's data position is negative; the checkpoint is damaged");
  }
  position_ = position;
}

}  // namespace lighthouse
