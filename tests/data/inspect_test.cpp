#include "lighthouse/data/inspect.h"

#include <gtest/gtest.h>

#include "core/temporary_folder.h"

namespace lighthouse {
namespace {

TokenShard shard_of(const TemporaryFolder& folder, const std::vector<int32_t>& tokens) {
  const auto path = folder / "shard.bin";
  ShardWriter writer(path, 2);
  writer.append(tokens);
  writer.commit();
  return TokenShard(path);
}

TEST(InspectTest, CountsTokens) {
  const TemporaryFolder folder;
  const TokenShard shard = shard_of(folder, {1, 1, 2, 256, 3, 3, 3, 3, 256, 300});
  TokenCounts counts;
  counts.of_token.resize(257);
  counts.add(shard, 256);
  EXPECT_EQ(counts.tokens, 10);
  EXPECT_EQ(counts.documents, 2);
  EXPECT_EQ(counts.outside, 1);
  EXPECT_EQ(counts.longest_run, 4);
  EXPECT_EQ(counts.run_token, 3);
  EXPECT_EQ(counts.distinct(), 4);
  EXPECT_EQ(counts.most_frequent(2), (std::vector<std::pair<int32_t, int64_t>>{{3, 4}, {1, 2}}));
  EXPECT_EQ(counts.most_frequent(100).size(), 4);
  counts.add(shard, 256);
  EXPECT_EQ(counts.tokens, 20);
}

TEST(InspectTest, EntropyOfEqualFrequenciesIsTheLogarithm) {
  TokenCounts counts;
  counts.tokens = 8;
  counts.of_token = {2, 2, 2, 2, 0};
  EXPECT_DOUBLE_EQ(counts.entropy(), 2);
}

TEST(InspectTest, SamplesFitATerminal) {
  const TemporaryFolder folder;
  const auto tokenizer = make_tokenizer("bytes");
  const TokenShard shard = shard_of(folder, {'a', '\n', 0x1B, 0xC3, 0xA9, 0xFF, 256, 'b', 999});
  EXPECT_EQ(decode_sample(shard, *tokenizer, 0, 100), "a\\n\\x1b\xC3\xA9\\xff<end of text>b<999?>");
  EXPECT_EQ(decode_sample(shard, *tokenizer, 7, 1), "b");
  EXPECT_EQ(format_token(*tokenizer, '\t'), "\"\\t\"");
  EXPECT_EQ(format_token(*tokenizer, 256), "<end of text>");
}

}  // namespace
}  // namespace lighthouse
