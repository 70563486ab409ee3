#include "lighthouse/data/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lighthouse/core/utf8.h"

namespace lighthouse {
namespace {

/// The text on one line, with everything escaped that a terminal cannot show.
std::string escaped(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    const size_t length = std::max<size_t>(1, character_length(text));
    if (length > 1) {
      shown += text.substr(0, length);
    } else if (byte == '\n') {
      shown += "\\n";
    } else if (byte == '\t') {
      shown += "\\t";
    } else if (byte < 0x20 || byte >= 0x7F) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += text.front();
    }
    text.remove_prefix(length);
  }
  return shown;
}

}  // namespace

void TokenCounts::add(const TokenShard& shard, int32_t end_of_text) {
  int64_t run = 0;
  int32_t last = -1;
  shard.for_each_block([&](std::span<const int32_t> block) {
    for (const int32_t token : block) {
      run = token == last ? run + 1 : 1;
      last = token;
      if (run > longest_run) {
        longest_run = run;
        run_token = token;
      }
      documents += token == end_of_text ? 1 : 0;
      if (token < 0 || token >= std::ssize(of_token)) {
        ++outside;
      } else {
        ++of_token[static_cast<size_t>(token)];
      }
    }
  });
  tokens += shard.size();
}

int64_t TokenCounts::distinct() const {
  return std::ssize(of_token) - std::count(of_token.begin(), of_token.end(), 0);
}

double TokenCounts::entropy() const {
  const auto all = static_cast<double>(tokens - outside);
  double bits = 0;
  for (const int64_t count : of_token) {
    if (count > 0) bits -= static_cast<double>(count) / all * std::log2(static_cast<double>(count) / all);
  }
  return bits;
}

std::vector<std::pair<int32_t, int64_t>> TokenCounts::most_frequent(int64_t count) const {
  std::vector<int32_t> order(of_token.size());
  std::iota(order.begin(), order.end(), 0);
  const auto size = static_cast<size_t>(std::min(count, distinct()));
  const auto of = [&](int32_t token) { return of_token[static_cast<size_t>(token)]; };
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(size), order.end(),
                    [&](int32_t a, int32_t b) { return of(a) != of(b) ? of(a) > of(b) : a < b; });
  std::vector<std::pair<int32_t, int64_t>> most;
  for (size_t i = 0; i < size; ++i) most.emplace_back(order[i], of(order[i]));
  return most;
}

std::string format_token(const Tokenizer& tokenizer, int32_t token) {
  return token == tokenizer.end_of_text() ? "<end of text>" : fmt::format("\"{}\"", escaped(tokenizer.decode(token)));
}

std::string decode_sample(const TokenShard& shard, const Tokenizer& tokenizer, int64_t begin, int64_t count) {
  std::vector<int32_t> tokens(static_cast<size_t>(std::clamp<int64_t>(count, 0, shard.size() - begin)));
  shard.read(begin, tokens);
  std::string shown;
  std::string text;  // pending bytes: a character may span several tokens
  const auto flush = [&] {
    shown += escaped(text);
    text.clear();
  };
  for (const int32_t token : tokens) {
    if (token >= 0 && token < tokenizer.vocab_size() && token != tokenizer.end_of_text()) {
      text += tokenizer.decode(token);
      continue;
    }
    flush();
    shown += token == tokenizer.end_of_text() ? std::string("<end of text>") : fmt::format("<{}?>", token);
  }
  flush();
  return shown;
}

}  // namespace lighthouse
