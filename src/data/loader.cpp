#include "lighthouse/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lighthouse/core/error.h"

namespace lighthouse {

WindowedSource::WindowedSource(const std::string& pattern, int64_t sequence_length, int64_t vocab_size)
    : sequence_length_(sequence_length) {
  int64_t longest = 0;
  for (const auto& path : match_files(pattern)) {
    TokenShard shard(path);
    shard.check_vocabulary(vocab_size);
    longest = std::max(longest, shard.size());
    tokens_ += shard.size();
    first_window_.push_back(windows_);
    windows_ += (shard.size() - 1) / sequence_length;
    shards_.push_back(std::move(shard));
  }
  if (windows_ > 0) return;
  throw InputError(
      fmt::format("{}: a window takes batch.sequence_length + 1 = {} tokens, and the longest shard has {}; "
                  "a sequence_length of at most {} would fit",
                  pattern, sequence_length + 1, longest, longest - 1));
}

void WindowedSource::read(int64_t index, std::span<int32_t> out) const {
  const auto after = std::upper_bound(first_window_.begin(), first_window_.end(), index);
  const auto shard = static_cast<size_t>(after - first_window_.begin() - 1);
  shards_[shard].read((index - first_window_[shard]) * sequence_length_, out);
}

Loader::Loader(const std::vector<DataSource>& sources, int64_t sequence_length, int64_t vocab_size, uint64_t seed)
    : sequence_length_(sequence_length), seed_(seed) {
  for (const DataSource& source : sources) {
    sources_.emplace_back(source.path, sequence_length, vocab_size);
    weights_.push_back(source.weight);
  }
  position_.tokens.resize(sources.size());
}

size_t Loader::next_source() const {
  size_t best = 0;
  double lowest = INFINITY;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const double share = static_cast<double>(position_.tokens[i] + sequence_length_) / weights_[i];
    if (share < lowest) {
      lowest = share;
      best = i;
    }
  }
  return best;
}

void Loader::next(int64_t global, int64_t first, int64_t sequences, std::span<int32_t> tokens) {
  const auto window = static_cast<size_t>(sequence_length_ + 1);
  for (int64_t i = 0; i < global; ++i) {
    const size_t source = next_source();
    const auto drawn = static_cast<uint64_t>(position_.tokens[source] / sequence_length_);
    position_.tokens[source] += sequence_length_;
    if (i < first || i >= first + sequences) continue;
    const auto windows = static_cast<uint64_t>(sources_[source].windows());
    const RandomStream stream(seed_, fmt::format("data.{}.epoch.{}", source, drawn / windows));
    const uint64_t index = Permutation(windows, stream)(drawn % windows);
    sources_[source].read(static_cast<int64_t>(index), tokens.subspan(static_cast<size_t>(i - first) * window, window));
  }
}

void Loader::seek(const LoaderPosition& position) {
  if (position.tokens.size() != sources_.size()) throw InputError("the checkpoint's data position has other sources");
  position_ = position;
}

int64_t Loader::tokens() const {
  int64_t sum = 0;
  for (const WindowedSource& source : sources_) sum += source.tokens();
  return sum;
}

}  // namespace lighthouse
