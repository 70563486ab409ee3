#include "lighthouse/data/shard.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "core/temporary_folder.h"
#include "data/shard_files.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

constexpr int32_t kMagic16 = 20240520;
constexpr int32_t kMagic32 = 20240801;

/// The bytes of a file with the given header and `body` bytes after it.
std::string file_of(int32_t magic, int32_t version, int32_t count, size_t body) {
  std::string file(1024 + body, '\0');
  const int32_t header[3] = {magic, version, count};
  std::memcpy(file.data(), header, sizeof(header));
  return file;
}

class ShardTest : public testing::Test {
 protected:
  std::string refusal(const std::string& bytes) const {
    write_file(folder_ / "a.bin", bytes);
    const std::string message = message_of<InputError>([&] { TokenShard shard(folder_ / "a.bin"); });
    EXPECT_TRUE(contains(message, (folder_ / "a.bin").string()));
    return message;
  }

  TemporaryFolder folder_;
};

TEST_F(ShardTest, RoundTripInBothWidths) {
  for (int width : {2, 4}) {
    const int32_t largest = width == 2 ? 65535 : INT32_MAX;
    const std::vector<int32_t> tokens{0, 1, 256, largest, 7};
    ShardWriter writer(folder_ / "a.bin", width);
    writer.append(std::span(tokens).first(2));
    writer.append({});
    writer.append(std::span(tokens).subspan(2));
    EXPECT_EQ(writer.size(), 5);
    writer.commit();

    const TokenShard shard(folder_ / "a.bin");
    EXPECT_EQ(shard.size(), 5);
    EXPECT_EQ(shard.bytes_per_token(), width);
    EXPECT_EQ(read_all(shard), tokens);
    std::vector<int32_t> middle(2);
    shard.read(2, middle);
    EXPECT_EQ(middle, (std::vector<int32_t>{256, largest}));
    EXPECT_EQ(std::filesystem::file_size(folder_ / "a.bin"), 1024 + 5 * static_cast<uintmax_t>(width));
  }
}

// As llm.c's dev/data/data_common.py writes it.
TEST_F(ShardTest, WritesTheHeaderOfLlmC) {
  for (int width : {2, 4}) {
    write_shard(folder_ / "a.bin", {1, 2, 3}, width);
    const std::string expected = width == 2 ? file_of(kMagic16, 1, 3, 0) : file_of(kMagic32, 7, 3, 0);
    EXPECT_EQ(read_file(folder_ / "a.bin").substr(0, 1024), expected);
  }
}

TEST_F(ShardTest, RefusesToReadOutsideTheShard) {
  write_shard(folder_ / "a.bin", {1, 2, 3});
  const TokenShard shard(folder_ / "a.bin");
  std::vector<int32_t> two(2);
  EXPECT_THROW(shard.read(2, two), std::logic_error);
  EXPECT_THROW(shard.read(-1, two), std::logic_error);
  EXPECT_THROW(shard.read(INT64_MAX, two), std::logic_error);
  EXPECT_NO_THROW(shard.read(3, {}));
}

TEST_F(ShardTest, WriterRefusesTokensThatDoNotFit) {
  ShardWriter narrow(folder_ / "a.bin", 2);
  EXPECT_THROW(narrow.append(std::vector<int32_t>{65536}), std::logic_error);
  EXPECT_THROW(narrow.append(std::vector<int32_t>{-1}), std::logic_error);
  ShardWriter wide(folder_ / "b.bin", 4);
  EXPECT_THROW(wide.append(std::vector<int32_t>{-1}), std::logic_error);
  EXPECT_THROW(ShardWriter(folder_ / "c.bin", 3), std::logic_error);
}

TEST_F(ShardTest, RefusesOtherFiles) {
  EXPECT_TRUE(contains(message_of<InputError>([&] { TokenShard(folder_ / "none.bin"); }), "No such file"));
  EXPECT_TRUE(contains(refusal(""), "empty"));
  EXPECT_TRUE(contains(refusal("Once upon a time"), "is text"));
  EXPECT_TRUE(contains(refusal(std::string(5000, 'x')), "`lighthouse prepare`"));
  EXPECT_TRUE(contains(refusal(std::string(500, '\0')), "500 bytes"));
  const std::string magic = refusal(file_of(1234, 1, 10, 20));
  EXPECT_TRUE(contains(magic, "1234"));
  EXPECT_TRUE(contains(magic, "20240520"));
  EXPECT_TRUE(contains(magic, "20240801"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic16, 7, 10, 20)), "version 7"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic32, 1, 10, 40)), "expected version 7"));
}

TEST_F(ShardTest, RefusesALengthOtherThanTheHeaders) {
  EXPECT_TRUE(contains(refusal(file_of(kMagic16, 1, 2000, 3000)), "500 tokens are missing"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic16, 1, 2000, 3999)), "1 tokens are missing"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic32, 7, 10, 0)), "10 tokens are missing"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic16, 1, 10, 21)), "too long"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic16, 1, 10, 40)), "the size of 32-bit tokens"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic32, 7, 10, 20)), "the size of 16-bit tokens"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic16, 1, 0, 0)), "0 tokens"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic16, 1, -5, 10)), "-5 tokens"));
  EXPECT_TRUE(contains(refusal(file_of(kMagic32, 7, INT32_MAX, 10)), "missing"));
}

TEST_F(ShardTest, LeavesNothingWithoutCommit) {
  {
    ShardWriter writer(folder_ / "a.bin", 2);
    writer.append(counting(0, 100));
  }
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(ShardTest, FindsTheFirstTokenOutsideTheVocabulary) {
  for (int width : {2, 4}) {
    for (int64_t place : {0, 4095, 4096, 9999}) {
      std::vector<int32_t> tokens(10'000, 255);
      tokens[static_cast<size_t>(place)] = 300;
      tokens[9999] = 301;
      write_shard(folder_ / "a.bin", tokens, width);
      const TokenShard shard(folder_ / "a.bin");
      EXPECT_NO_THROW(shard.for_each_block([](auto) {}, 302));
      const std::string message = message_of<InputError>([&] { shard.for_each_block([](auto) {}, 256); });
      EXPECT_TRUE(contains(message, fmt::format("token {} is {},", place, place == 9999 ? 301 : 300)));
      EXPECT_TRUE(contains(message, "0 to 255"));
      std::vector<int32_t> before(static_cast<size_t>(place)), at(1);
      EXPECT_NO_THROW(shard.read(0, before, 256));
      EXPECT_THROW(shard.read(place, at, 256), InputError);
    }
  }
}

TEST_F(ShardTest, NegativeTokensAreOutsideTheVocabulary) {
  std::string bytes = file_of(kMagic32, 7, 1, 4);
  std::memset(bytes.data() + 1024, 0xff, 4);
  write_file(folder_ / "a.bin", bytes);
  EXPECT_THROW(TokenShard(folder_ / "a.bin").for_each_block([](auto) {}, INT32_MAX), InputError);
}

TEST_F(ShardTest, MatchesFilesInTheOrderOfTheirNames) {
  for (const char* name : {"train-00010.bin", "train-00002.bin", "Train-00001.bin", "val-00000.bin", "train-1.txt"}) {
    write_file(folder_ / name, "x");
  }
  const auto matched = match_files((folder_ / "train-*.bin").string());
  EXPECT_EQ(matched, (std::vector<std::filesystem::path>{folder_ / "train-00002.bin", folder_ / "train-00010.bin"}));
  EXPECT_EQ(match_files((folder_ / "val-00000.bin").string()).size(), 1);
  write_file(folder_ / "a[1].bin", "x");
  EXPECT_EQ(match_files((folder_ / "a[1].bin").string()).size(), 1);
}

TEST_F(ShardTest, ThrowsWhenNoFileMatches) {
  const std::string message = message_of<InputError>([&] { match_files((folder_ / "train-*.bin").string()); });
  EXPECT_TRUE(contains(message, (folder_ / "train-*.bin").string()));
  EXPECT_TRUE(contains(message, "`lighthouse prepare`"));
  EXPECT_TRUE(contains(message_of<InputError>([&] { match_files(folder_.path().string()); }), "is a folder"));
}

}  // namespace
}  // namespace lighthouse
