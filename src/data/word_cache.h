// A cache of encoded words: text repeats words, and looking one up is much cheaper than encoding it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace lighthouse {

/// The tokens of words, for one thread at a time.
class WordCache {
 public:
  using Encode = std::function<void(std::string_view word, std::vector<int32_t>& tokens)>;

  /// Appends the tokens of `word`, calling `encode` for a new word.
  void append(std::string_view word, std::vector<int32_t>& tokens, const Encode& encode);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  /// A word's tokens in tokens_.
  struct Place {
    uint32_t begin, size;
  };

  std::unordered_map<std::string, Place, Hash, std::equal_to<>> words_;
  std::vector<int32_t> tokens_;
};

/// One cache for each thread that encodes at the same time. Thread-safe.
class WordCaches {
 public:
  /// Calls `use` with a cache that no other thread uses.
  void with_cache(const std::function<void(WordCache&)>& use);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
};

/// The length of the first word of `text`: a line end, or spaces and the text after them up to the next space or line
/// end. A vocabulary whose pieces have spaces only at their start and no line ends has no piece that spans two words.
size_t first_word(std::string_view text);

}  // namespace lighthouse
