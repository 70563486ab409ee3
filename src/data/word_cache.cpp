#include "word_cache.h"

#include <algorithm>

namespace lighthouse {

void WordCache::append(std::string_view word, std::vector<int32_t>& tokens, const Encode& encode) {
  constexpr size_t kLongest = 64;    // longer words rarely repeat
  constexpr size_t kMost = 1 << 18;  // words, some 30 MB
  if (word.size() > kLongest) return encode(word, tokens);
  const auto known = words_.find(word);
  if (known != words_.end()) {
    const auto begin = tokens_.begin() + known->second.begin;
    tokens.insert(tokens.end(), begin, begin + known->second.size);
    return;
  }
  const size_t before = tokens.size();
  encode(word, tokens);
  if (words_.size() == kMost) return;
  words_.emplace(word, Place{static_cast<uint32_t>(tokens_.size()), static_cast<uint32_t>(tokens.size() - before)});
  tokens_.insert(tokens_.end(), tokens.begin() + static_cast<ptrdiff_t>(before), tokens.end());
}

void WordCaches::with_cache(const std::function<void(WordCache&)>& use) {
  std::unique_ptr<WordCache> cache;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      cache = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!cache) cache = std::make_unique<WordCache>();
  use(*cache);
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(cache));
}

size_t first_word(std::string_view text) {
  constexpr std::string_view kSpelledSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's space
  if (text.starts_with('\n')) return 1;
  const size_t begin = text.find_first_not_of(' ');
  size_t end = text.find_first_of(" \n", begin);
  while (end != std::string_view::npos && text[end] == ' ' && text.substr(0, end).ends_with(kSpelledSpace)) {
    end = text.find_first_of(" \n", text.find_first_not_of(' ', end));
  }
  return std::min(end, text.size());
}

}  // namespace lighthouse
