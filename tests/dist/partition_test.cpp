#include "lighthouse/dist/partition.h"

#include <gtest/gtest.h>

#include <vector>

namespace lighthouse {
namespace {

TEST(PartitionTest, SplitEvenlyFollowsTheFormula) {
  // floor(M r / N) by hand, for M = 7.
  const std::vector<std::vector<int64_t>> begins{{0, 7}, {0, 3, 7}, {0, 2, 4, 7}, {0, 1, 3, 5, 7}};
  for (const auto& places : begins) {
    const int size = static_cast<int>(places.size()) - 1;
    for (int rank = 0; rank < size; ++rank) {
      const IndexRange split = split_evenly(7, size, rank);
      EXPECT_EQ(split.begin, places[static_cast<size_t>(rank)]) << rank << " of " << size;
      EXPECT_EQ(split.end, places[static_cast<size_t>(rank) + 1]) << rank << " of " << size;
    }
  }
}

TEST(PartitionTest, ShardsCoverEveryElementOnce) {
  for (const int64_t numel : {0, 1, 64, 1000, 4096, 100001}) {
    for (const int size : {1, 2, 3, 7}) {
      int64_t end = 0;
      for (int rank = 0; rank < size; ++rank) {
        const IndexRange piece = shard_range(numel, size, rank);
        EXPECT_EQ(piece.begin, end);
        EXPECT_TRUE(piece.begin % kShardAlignment == 0 || piece.begin == numel);
        if (numel % (size * kShardAlignment) == 0) {
          EXPECT_EQ(piece.size(), numel / size);
        }
        end = piece.end;
      }
      EXPECT_EQ(end, numel);
    }
  }
}

}  // namespace
}  // namespace lighthouse
