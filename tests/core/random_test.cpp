#include "lighthouse/core/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <stdexcept>
#include <vector>

namespace lighthouse {
namespace {

// Random123's kat_vectors for philox4x32, ten rounds.
TEST(PhiloxTest, GivesTheKnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStreamTest, DependsOnSeedNameAndPlace) {
  std::set<uint64_t> seen;
  for (uint64_t seed : {0, 1}) {
    for (const char* name : {"a", "b", "ab"}) {
      for (uint64_t n = 0; n < 10; ++n) seen.insert(RandomStream(seed, name).bits(n));
    }
  }
  EXPECT_EQ(seen.size(), 60);
  EXPECT_EQ(RandomStream(1, "a").bits(5), RandomStream(1, "a").bits(5));
}

// Reference values of another program. They must not change, because a seed would then give another run.
TEST(RandomStreamTest, KeepsItsValues) {
  const RandomStream stream(1, "model.embed_tokens.weight");
  EXPECT_EQ(stream.bits(0), 0x12ea407f11f960f5U);
  EXPECT_EQ(stream.bits(5), 0x5cea0a5c6500433fU);
  EXPECT_NEAR(stream.normal(0), 2.0609341018620397, 1e-14);
  EXPECT_NEAR(stream.normal(5), -0.8886551836107074, 1e-14);
}

TEST(RandomStreamTest, NeighboursAndStreamsAreIndependent) {
  const RandomStream stream(4, "a"), other(4, "b");
  constexpr int kCount = 100'000;
  double lag = 0, across = 0;
  for (uint64_t n = 0; n < kCount; ++n) {
    lag += stream.normal(n) * stream.normal(n + 1) / kCount;
    across += stream.normal(n) * other.normal(n) / kCount;
  }
  EXPECT_NEAR(lag, 0, 0.016);  // five standard deviations
  EXPECT_NEAR(across, 0, 0.016);
}

TEST(RandomStreamTest, UniformFillsItsInterval) {
  const RandomStream stream(42, "uniform");
  constexpr int kCount = 100'000;
  double sum = 0;
  std::vector<int> bins(10);
  for (uint64_t n = 0; n < kCount; ++n) {
    const double x = stream.uniform(n);
    ASSERT_GE(x, 0);
    ASSERT_LT(x, 1);
    sum += x;
    ++bins[static_cast<size_t>(x * 10)];
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.005);
  for (int bin : bins) EXPECT_NEAR(bin, kCount / 10, 500);  // five standard deviations
}

TEST(RandomStreamTest, NormalHasItsMoments) {
  const RandomStream stream(42, "normal");
  constexpr int kCount = 200'000;
  std::array<double, 5> moments{};
  for (uint64_t n = 0; n < kCount; ++n) {
    const double x = stream.normal(n);
    ASSERT_TRUE(std::isfinite(x));
    for (size_t power = 1; power < moments.size(); ++power) moments[power] += std::pow(x, power) / kCount;
  }
  EXPECT_NEAR(moments[1], 0, 0.012);
  EXPECT_NEAR(moments[2], 1, 0.02);
  EXPECT_NEAR(moments[3], 0, 0.05);
  EXPECT_NEAR(moments[4], 3, 0.15);
}

TEST(PermutationTest, IsABijection) {
  for (uint64_t size : {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4096, 4097, 65537}) {
    const Permutation permutation(size, RandomStream(size, "permutation"));
    std::vector<bool> hit(size);
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t image = permutation(i);
      ASSERT_LT(image, size);
      ASSERT_FALSE(hit[image]) << "of " << size;
      hit[image] = true;
    }
  }
  EXPECT_THROW(Permutation(0, RandomStream(0, "")), std::logic_error);
}

TEST(PermutationTest, TakesLargeSizes) {
  const uint64_t size = (uint64_t{1} << 40) + 12345;
  const Permutation permutation(size, RandomStream(7, "large"));
  std::set<uint64_t> images;
  for (uint64_t i = 0; i < 1000; ++i) images.insert(permutation(size - 1 - i));
  EXPECT_EQ(images.size(), 1000);
  EXPECT_LT(*images.rbegin(), size);
}

TEST(PermutationTest, Shuffles) {
  const Permutation a(10'000, RandomStream(1, "epoch.0"));
  const Permutation b(10'000, RandomStream(1, "epoch.1"));
  int fixed = 0, same = 0, neighbours = 0;
  for (uint64_t i = 0; i + 1 < 10'000; ++i) {
    fixed += a(i) == i;
    same += a(i) == b(i);
    neighbours += a(i) + 1 == a(i + 1);
  }
  // Each is about 1 by chance.
  EXPECT_LT(fixed, 10);
  EXPECT_LT(same, 10);
  EXPECT_LT(neighbours, 10);
}

}  // namespace
}  // namespace lighthouse
