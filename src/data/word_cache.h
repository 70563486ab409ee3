// Words that were encoded before: text repeats them, and looking one up takes a small part of encoding it.
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

class WordCache {
 public:
  using Encode = std::function<void(std::string_view word, std::vector<int32_t>& tokens)>;

  /// Appends the tokens of `word`, by `encode` if it is new.
  void append(std::string_view word, std::vector<int32_t>& tokens, const Encode& encode);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  /// Where a word's tokens lie in tokens_.
  struct Place {
    uint32_t begin, size;
  };

  std::unordered_map<std::string, Place, Hash, std::equal_to<>> words_;
  std::vector<int32_t> tokens_;
};

/// As many caches as there are threads that want one at a time.
class WordCaches {
 public:
  /// Lends a cache to `use`.
  void with_cache(const std::function<void(WordCache&)>& use);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
};

/// Bytes of the first word of `text`: a line end, or spaces and what follows them up to the next space or line end. So
/// that a vocabulary whose pieces have spaces at their beginning alone, and no line ends, has none that reaches over
/// the border of two words.
size_t first_word(std::string_view text);

}  // namespace lighthouse
