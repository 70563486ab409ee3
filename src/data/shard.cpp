#include "lighthouse/data/shard.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

constexpr int64_t kHeaderInts = 256;
constexpr int64_t kHeaderBytes = kHeaderInts * 4;
constexpr std::array<int32_t, 2> k16Bit{20240520, 1};  // magic, version
constexpr std::array<int32_t, 2> k32Bit{20240801, 7};

template <typename T>
void widen(const std::byte* from, std::span<int32_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T token;
    std::memcpy(&token, from + i * sizeof(T), sizeof(T));
    out[i] = static_cast<int32_t>(token);
  }
}

}  // namespace

TokenShard::TokenShard(const std::filesystem::path& path) : file_(path) {
  const auto bytes = static_cast<int64_t>(file_.bytes().size());
  const auto refuse = [&](const std::string& why) { return InputError(fmt::format("{}: {}", path.string(), why)); };
  if (bytes < kHeaderBytes) {
    throw refuse(
        fmt::format("not a token shard: it has {} bytes and its header alone takes {}; `lighthouse prepare` "
                    "makes shards from text",
                    bytes, kHeaderBytes));
  }
  std::array<int32_t, kHeaderInts> header;
  std::memcpy(header.data(), file_.bytes().data(), kHeaderBytes);
  if (header[0] == k16Bit[0]) {
    bytes_per_token_ = 2;
  } else if (header[0] == k32Bit[0]) {
    bytes_per_token_ = 4;
  } else {
    throw refuse(
        fmt::format("not a token shard: it begins with {} where {} (16-bit tokens) or {} (32-bit) should be; "
                    "`lighthouse prepare` makes shards from text",
                    header[0], k16Bit[0], k32Bit[0]));
  }
  const int32_t version = bytes_per_token_ == 2 ? k16Bit[1] : k32Bit[1];
  if (header[1] != version) {
    throw refuse(fmt::format("version {} of the {}-bit shard format; this program reads version {}", header[1],
                             8 * bytes_per_token_, version));
  }
  size_ = header[2];
  const int64_t expected = kHeaderBytes + size_ * bytes_per_token_;
  if (size_ <= 0 || bytes != expected) {
    throw refuse(fmt::format("its header speaks of {} tokens of {} bytes, so it should have {} bytes; it has {}", size_,
                             bytes_per_token_, expected, bytes));
  }
}

void TokenShard::read(int64_t begin, std::span<int32_t> out) const {
  const std::byte* from = file_.bytes().data() + kHeaderBytes + begin * bytes_per_token_;
  if (begin < 0 || begin + static_cast<int64_t>(out.size()) > size_) throw std::logic_error("tokens outside a shard");
  bytes_per_token_ == 2 ? widen<uint16_t>(from, out) : widen<int32_t>(from, out);
}

void TokenShard::check_vocabulary(int64_t vocab_size) const {
  constexpr int64_t kPiece = 1 << 16;
  std::vector<int32_t> tokens;
  for (int64_t begin = 0; begin < size_; begin += kPiece) {
    tokens.resize(static_cast<size_t>(std::min(kPiece, size_ - begin)));
    read(begin, tokens);
    const auto bad = std::find_if(tokens.begin(), tokens.end(), [&](int32_t t) { return t < 0 || t >= vocab_size; });
    if (bad == tokens.end()) continue;
    throw InputError(
        fmt::format("{}: token {} is {}, outside the vocabulary of 0 to {}; it was prepared with another "
                    "tokenizer, or model.vocab_size is too small",
                    path().string(), begin + (bad - tokens.begin()), *bad, vocab_size - 1));
  }
}

ShardWriter::ShardWriter(const std::filesystem::path& path, int bytes_per_token)
    : file_(path), bytes_per_token_(bytes_per_token) {
  file_.write(std::vector<std::byte>(kHeaderBytes));
}

void ShardWriter::append(std::span<const int32_t> tokens) {
  if (bytes_per_token_ == 4) {
    file_.write(std::as_bytes(tokens));
  } else {
    const std::vector<uint16_t> narrow(tokens.begin(), tokens.end());
    file_.write(std::as_bytes(std::span(narrow)));
  }
  size_ += static_cast<int64_t>(tokens.size());
}

void ShardWriter::commit() {
  const auto& format = bytes_per_token_ == 2 ? k16Bit : k32Bit;
  const std::array<int32_t, 3> header{format[0], format[1], static_cast<int32_t>(size_)};
  file_.write_at(0, std::as_bytes(std::span(header)));
  file_.commit();
}

std::vector<std::filesystem::path> match_files(const std::string& pattern) {
  glob_t matches{};
  const int result = glob(pattern.c_str(), 0, nullptr, &matches);
  std::vector<std::filesystem::path> paths;
  if (result == 0) paths.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
  globfree(&matches);
  if (paths.empty()) {
    throw InputError(fmt::format("no file matches {}; `lighthouse prepare` makes shards from text", pattern));
  }
  return paths;
}

}  // namespace lighthouse
