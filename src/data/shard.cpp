#include "lighthouse/data/shard.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>
#include <stdexcept>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/core/units.h"

namespace lighthouse {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are little-endian and read without conversion");

/// The header's first values for one token width.
struct ShardFormat {
  int32_t magic;
  int32_t version;
  int bytes_per_token;
};

constexpr ShardFormat k16Bit{20240520, 1, 2};
constexpr ShardFormat k32Bit{20240801, 7, 4};
constexpr int64_t kHeaderBytes = 256 * 4;
constexpr const char* kHint = "`lighthouse prepare` converts text to shards";

InputError refuse(const std::filesystem::path& path, const std::string& why) {
  return InputError(fmt::format("{}: {}", path.string(), why));
}

/// Whether the bytes have no control characters but white space, as in text.
bool looks_like_text(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](auto byte) {
    const auto c = static_cast<unsigned char>(byte);
    return c >= 0x20 || (c >= '\t' && c <= '\r');
  });
}

/// The start of the header: magic number, version, token count.
using HeaderStart = std::array<int32_t, 3>;

HeaderStart read_header(const InputFile& file) {
  if (file.size() == 0) throw refuse(file.path(), fmt::format("the shard is empty; {}", kHint));
  std::vector<std::byte> bytes(static_cast<size_t>(std::min(file.size(), kHeaderBytes)));
  file.read(0, bytes);
  if (looks_like_text(bytes)) {
    throw refuse(file.path(), fmt::format("this is text, not a token shard; {}", kHint));
  }
  if (std::ssize(bytes) < kHeaderBytes) {
    throw refuse(file.path(), fmt::format("not a token shard, or a truncated one: it has {} bytes, less than the "
                                          "header's {}",
                                          bytes.size(), kHeaderBytes));
  }
  HeaderStart header{};
  std::memcpy(header.data(), bytes.data(), sizeof(header));
  return header;
}

const ShardFormat& format_of(const InputFile& file, const HeaderStart& found) {
  if (found[0] != k16Bit.magic && found[0] != k32Bit.magic) {
    throw refuse(file.path(),
                 fmt::format("not a token shard: its magic number is {}; expected {} (16-bit tokens) or {} "
                             "(32-bit tokens)",
                             found[0], k16Bit.magic, k32Bit.magic));
  }
  const ShardFormat& format = found[0] == k16Bit.magic ? k16Bit : k32Bit;
  if (found[1] != format.version) {
    throw refuse(file.path(),
                 fmt::format("version {} of the shard format with {}-bit tokens (magic number {}); expected "
                             "version {}",
                             found[1], 8 * format.bytes_per_token, format.magic, format.version));
  }
  return format;
}

/// The header's token count. Throws InputError if the file has another length.
int64_t count_of(const InputFile& file, const HeaderStart& header, const ShardFormat& format) {
  const int32_t count = header[2];
  if (count <= 0) throw refuse(file.path(), fmt::format("its header gives {} tokens; expected 1 or more", count));
  const int64_t found = file.size() - kHeaderBytes;
  const int64_t expected = int64_t{count} * format.bytes_per_token;
  if (found == expected) return count;
  const std::string claim = fmt::format("its header gives {} tokens of {} bits, {} bytes in all", format_count(count),
                                        8 * format.bytes_per_token, format_count(expected));
  if (found == int64_t{count} * (format.bytes_per_token == 2 ? 4 : 2)) {
    throw refuse(
        file.path(),
        fmt::format("{}, but {} bytes follow it, the size of {}-bit tokens; header and tokens differ in width, "
                    "so prepare the shard again",
                    claim, format_count(found), format.bytes_per_token == 2 ? 32 : 16));
  }
  if (found < expected) {
    const int64_t missing = (expected - found + format.bytes_per_token - 1) / format.bytes_per_token;
    throw refuse(file.path(),
                 fmt::format("truncated: {}, of which {} tokens are missing; copy or prepare the shard again", claim,
                             format_count(missing)));
  }
  throw refuse(file.path(), fmt::format("too long: {}, but {} bytes follow it; copy or prepare the shard again", claim,
                                        format_count(found)));
}

/// The index of the first token that is at least `vocab_size`, or -1.
int64_t first_outside(std::span<const uint32_t> tokens, int64_t vocab_size) {
  constexpr size_t kBlock = 4096;
  for (size_t begin = 0; begin < tokens.size(); begin += kBlock) {
    const auto block = tokens.subspan(begin, std::min(kBlock, tokens.size() - begin));
    uint32_t largest = 0;
    for (const uint32_t token : block) largest = std::max(largest, token);  // the compiler vectorises this loop
    if (int64_t{largest} < vocab_size) continue;
    const auto bad =
        std::find_if(block.begin(), block.end(), [&](uint32_t token) { return int64_t{token} >= vocab_size; });
    return static_cast<int64_t>(begin) + (bad - block.begin());
  }
  return -1;
}

}  // namespace

TokenShard::TokenShard(const std::filesystem::path& path) : file_(path) {
  const HeaderStart header = read_header(file_);
  const ShardFormat& format = format_of(file_, header);
  bytes_per_token_ = format.bytes_per_token;
  size_ = count_of(file_, header, format);
}

void TokenShard::read(int64_t begin, std::span<int32_t> out) const {
  const int64_t count = std::ssize(out);
  if (begin < 0 || begin > size_ || count > size_ - begin)
    throw std::logic_error("TokenShard::read: the range exceeds the shard");
  const int64_t place = kHeaderBytes + begin * bytes_per_token_;
  if (bytes_per_token_ == 4) return file_.read(place, std::as_writable_bytes(out));
  std::vector<uint16_t> narrow(out.size());
  file_.read(place, std::as_writable_bytes(std::span(narrow)));
  std::ranges::copy(narrow, out.begin());
}

void TokenShard::read(int64_t begin, std::span<int32_t> out, int64_t vocab_size) const {
  read(begin, out);
  // As unsigned numbers, negative tokens are large.
  const std::span tokens(reinterpret_cast<const uint32_t*>(out.data()), out.size());
  const int64_t place = first_outside(tokens, vocab_size);
  if (place < 0) return;
  throw refuse(path(), fmt::format("token {} is {}, outside the vocabulary of 0 to {}; another tokenizer made "
                                   "this shard, or model.vocab_size is too small",
                                   begin + place, tokens[static_cast<size_t>(place)], vocab_size - 1));
}

void TokenShard::for_each_block(const std::function<void(std::span<const int32_t>)>& visit,
                                std::optional<int64_t> vocab_size) const {
  constexpr int64_t kBlock = 64 * kKibibyte;  // tokens
  std::vector<int32_t> block;
  for (int64_t begin = 0; begin < size_; begin += kBlock) {
    block.resize(static_cast<size_t>(std::min(kBlock, size_ - begin)));
    if (vocab_size) {
      read(begin, block, *vocab_size);
    } else {
      read(begin, block);
    }
    visit(block);
  }
}

ShardWriter::ShardWriter(const std::filesystem::path& path, int bytes_per_token)
    : file_(path), bytes_per_token_(bytes_per_token) {
  if (bytes_per_token != 2 && bytes_per_token != 4) throw std::logic_error("ShardWriter: a token has 2 or 4 bytes");
  file_.write(
      std::vector<std::byte>(kHeaderBytes));  // commit() writes the header, so that an unfinished file is not a shard
}

void ShardWriter::append(std::span<const int32_t> tokens) {
  if (std::ssize(tokens) > kMaxTokens - size_) throw std::logic_error("ShardWriter: too many tokens for one shard");
  const int64_t limit = bytes_per_token_ == 2 ? int64_t{1} << 16 : int64_t{1} << 31;
  if (first_outside(std::span(reinterpret_cast<const uint32_t*>(tokens.data()), tokens.size()), limit) >= 0) {
    throw std::logic_error(fmt::format("ShardWriter: a token does not fit {} bytes", bytes_per_token_));
  }
  if (bytes_per_token_ == 4) {
    file_.write(std::as_bytes(tokens));
  } else {
    const std::vector<uint16_t> narrow(tokens.begin(), tokens.end());
    file_.write(std::as_bytes(std::span(narrow)));
  }
  size_ += std::ssize(tokens);
}

void ShardWriter::commit() {
  const ShardFormat& format = bytes_per_token_ == 2 ? k16Bit : k32Bit;
  const HeaderStart header{format.magic, format.version, static_cast<int32_t>(size_)};
  file_.write_at(0, std::as_bytes(std::span(header)));
  file_.commit();
}

std::vector<std::filesystem::path> match_files(const std::string& pattern) {
  glob_t matches{};
  const int result = glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches);
  std::vector<std::filesystem::path> paths;
  if (result == 0) paths.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
  globfree(&matches);
  if (paths.empty() && std::filesystem::exists(pattern)) paths = {pattern};  // a file name that contains brackets
  if (paths.empty()) throw InputError(fmt::format("no file matches {}; {}", pattern, kHint));
  std::sort(paths.begin(), paths.end());  // glob's own order depends on the locale
  std::set<std::filesystem::path> folders;
  for (const auto& path : paths) {
    if (std::filesystem::is_directory(path)) {
      throw InputError(
          fmt::format("{} is a folder; expected shards, such as {}", path.string(), (path / "train-*.bin").string()));
    }
    folders.insert(path.parent_path());
  }
  for (const auto& folder : folders) {
    if (!std::filesystem::exists(folder / kUnfinishedMarker)) continue;
    throw InputError(
        fmt::format("the shards in {} are incomplete, because `lighthouse prepare` was killed while it "
                    "moved them; run it again",
                    folder.empty() ? "this folder" : folder.string()));
  }
  return paths;
}

}  // namespace lighthouse
