#include "lighthouse/ops/lighthouse_shape.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <regex>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

LighthouseShape paper() {
  return {.sequence_length = 98304};
}

std::string message_of(const LighthouseShape& shape) {
  try {
    shape.check();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

bool mentions(const LighthouseShape& shape, const std::string& text) {
  return message_of(shape).find(text) != std::string::npos;
}

// The number that follows `label` in the message, or 0.
int64_t number_after(const std::string& message, const std::string& label) {
  const size_t at = message.find(label);
  return at == std::string::npos ? 0 : std::stoll(message.substr(at + label.size()));
}

TEST(LighthouseShape, NumbersOfThePaper) {
  const LighthouseShape shape = paper();
  EXPECT_EQ(shape.broken_rule(), "");
  EXPECT_NO_THROW(shape.check());
  EXPECT_EQ(shape.gathered(), 18432);
  EXPECT_EQ(shape.tiles(), 12);
  EXPECT_EQ(shape.gathered_per_tile() * shape.tiles(), shape.gathered());
  EXPECT_EQ(shape.offset(0), 0);
  EXPECT_EQ(shape.offset(1), 98304);
  EXPECT_EQ(shape.offset(2), 98304 + 24576);
  EXPECT_EQ(shape.all_entries(), 98304 + 24576 + 6144);
  EXPECT_EQ(shape.scored_entries(), 24576 + 6144);
}

TEST(LighthouseShape, EveryRuleIsNamedWithItsValue) {
  LighthouseShape s = paper();
  s.levels = 1;
  EXPECT_TRUE(mentions(s, "levels must be at least 2, but is 1"));
  s = paper();
  s.pooling_factor = 1;
  EXPECT_TRUE(mentions(s, "pooling_factor must be at least 2, but is 1"));
  s = paper();
  s.tile = 3;
  EXPECT_TRUE(mentions(s, "tile must be even and at least 2, but is 3"));
  s.tile = 0;
  EXPECT_TRUE(mentions(s, "tile must be even and at least 2, but is 0"));
  s = paper();
  s.top_k = 64;
  EXPECT_TRUE(mentions(s, "top_k must be a multiple of tile (128) and at least that, but is 64"));
  s.top_k = 200;
  EXPECT_TRUE(mentions(s, "but is 200"));
  s = paper();
  s.sequence_length = 98305;
  EXPECT_TRUE(mentions(s, "sequence_length must be a positive multiple of pooling_factor^(levels-1) = 16"));
  s.sequence_length = 98304 + 16;
  EXPECT_TRUE(mentions(s, "divisible by top_k / tile = 12, but is 6145"));
  s.sequence_length = 16 * 12 * 100;
  EXPECT_TRUE(mentions(s, "at least tile = 128 entries, but is 100"));
  s.sequence_length = int64_t{3} << 36;
  EXPECT_TRUE(mentions(s, "sequence_length must be at most 2^30"));
}

TEST(LighthouseShape, NamesTheNearestThatWork) {
  LighthouseShape s = paper();
  s.sequence_length = 100000;
  EXPECT_TRUE(mentions(s, "nearest sequence_length that works is 100032")) << message_of(s);
  // 6250 coarsest entries have the divisors 1, 2, 5, 10, 25, 50, ...; 10 tiles are nearest to 12.
  EXPECT_TRUE(mentions(s, "nearest top_k that works is 1280")) << message_of(s);
}

// Exhaustively: no valid value is nearer than the one in the message.
TEST(LighthouseShape, NearestIsNearest) {
  std::mt19937 random(3);
  const auto draw = [&](int64_t low, int64_t high) { return low + static_cast<int64_t>(random() % (high - low + 1)); };
  int found = 0;
  for (int round = 0; round < 500; ++round) {
    const LighthouseShape s{draw(1, 1500), draw(2, 4), draw(2, 4), draw(1, 60), 2 * draw(1, 5), true};
    const std::string message = message_of(s);
    if (message.empty()) continue;
    const auto distance_to = [&](int64_t LighthouseShape::*field) {
      LighthouseShape other = s;
      for (int64_t distance = 0; distance < 4000; ++distance) {
        for (const int64_t value : {s.*field - distance, s.*field + distance}) {
          other.*field = value;
          if (other.broken_rule().empty()) return distance;
        }
      }
      return int64_t{-1};
    };
    const int64_t length = number_after(message, "nearest sequence_length that works is ");
    const int64_t top_k = number_after(message, "nearest top_k that works is ");
    const int64_t length_distance = distance_to(&LighthouseShape::sequence_length);
    const int64_t top_k_distance = distance_to(&LighthouseShape::top_k);
    EXPECT_EQ(length_distance, length == 0 ? -1 : std::abs(length - s.sequence_length)) << message;
    EXPECT_EQ(top_k_distance, top_k == 0 ? -1 : std::abs(top_k - s.top_k)) << message;
    if (length != 0 || top_k != 0) ++found;
    if (length == 0) {
      EXPECT_NE(message.find("Near it, sequence_length"), std::string::npos) << message;
    }
  }
  EXPECT_GT(found, 50);
}

TEST(LighthouseShape, AbsurdValuesAreRefusedQuickly) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  for (const int64_t value : {kHuge, kHuge / 2, -kHuge, int64_t{0}, int64_t{60}, int64_t{1000000000}}) {
    for (int64_t LighthouseShape::*field :
         {&LighthouseShape::sequence_length, &LighthouseShape::levels, &LighthouseShape::pooling_factor,
          &LighthouseShape::top_k, &LighthouseShape::tile}) {
      LighthouseShape s = paper();
      s.*field = value;
      const std::string message = message_of(s);
      EXPECT_NE(message, "");
      std::smatch match;
      const std::regex whole(
          "Near it, sequence_length (\\d+) with top_k (\\d+), levels (\\d+), pooling_factor (\\d+), "
          "tile (\\d+) works");
      if (!std::regex_search(message, match, whole)) continue;
      const LighthouseShape mended{std::stoll(match[1]), std::stoll(match[3]), std::stoll(match[4]),
                                   std::stoll(match[2]), std::stoll(match[5]), true};
      EXPECT_EQ(mended.broken_rule(), "") << message;
    }
  }
}

TEST(LighthouseShape, SpanDoesNotOverflowSilently) {
  EXPECT_EQ(paper().span(2), 16);
  LighthouseShape s = paper();
  s.pooling_factor = 1000000000;
  EXPECT_EQ(s.span(2), 1000000000000000000);
  EXPECT_THROW(static_cast<void>(s.span(3)), InputError);
}

}  // namespace
}  // namespace lighthouse
