#include "lighthouse/core/text.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lighthouse {
namespace {

TEST(TextTest, FormatsBytes) {
  EXPECT_EQ(format_bytes(17), "17 bytes");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(int64_t{312} << 20), "312 MiB");
  EXPECT_EQ(format_bytes((int64_t{3} << 30) / 2), "1.50 GiB");
  EXPECT_EQ(format_bytes((int64_t{1} << 20) - 1), "1.00 MiB");
}

TEST(TextTest, FormatsCounts) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(98304), "98,304");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
  EXPECT_EQ(format_count(-123), "-123");
}

TEST(TextTest, FormatsLargeNumbers) {
  EXPECT_EQ(format_si(1.2e12), "1.20 T");
  EXPECT_EQ(format_si(12.34e6), "12.3 M");
  EXPECT_EQ(format_si(999.9e3), "1.00 M");
  EXPECT_EQ(format_si(123.4), "123");
}

TEST(TextTest, FormatsSeconds) {
  EXPECT_EQ(format_seconds(4.21), "4.2 s");
  EXPECT_EQ(format_seconds(0.2808), "281 ms");
  EXPECT_EQ(format_seconds(0.00123), "1.23 ms");
  EXPECT_EQ(format_seconds(0.9996), "1.0 s");
  EXPECT_EQ(format_seconds(0), "0.0 s");
  EXPECT_EQ(format_seconds(187), "3 min 07 s");
  EXPECT_EQ(format_seconds(7500), "2 h 05 min");
  EXPECT_EQ(format_seconds(INFINITY), "?");
  EXPECT_EQ(format_milliseconds(0.0052031), "5.203 ms");
  EXPECT_EQ(format_milliseconds(1.25), "1250.000 ms");
}

TEST(TextTest, FindsTheNearestName) {
  EXPECT_EQ(nearest_name("learning_rat", {"learning_rate", "weight_decay"}), "learning_rate");
  EXPECT_EQ(nearest_name("hiden_size", {"head_dim", "hidden_size"}), "hidden_size");
  EXPECT_EQ(nearest_name("pineapple", {"learning_rate", "weight_decay"}), "");
  EXPECT_EQ(nearest_name("x", {}), "");
}

TEST(TextTest, DoesNotSuggestDistantNames) {
  EXPECT_EQ(nearest_name("lr", {"k2"}), "");
  EXPECT_EQ(nearest_name("x", {"ab", "y"}), "");
  EXPECT_EQ(nearest_name("", {"ab"}), "");
  EXPECT_EQ(nearest_name("tpo_k", {"tile", "top_k"}), "top_k");
  EXPECT_EQ(nearest_name("weigth_decay", {"weight_decay"}), "weight_decay");
}

TEST(TextTest, Joins) {
  EXPECT_EQ(join({"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(join({}, ", "), "");
}

TEST(TextTest, JoinsSomeNames) {
  EXPECT_EQ(join_some({"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(join_some({"a", "b", "c", "d", "e"}), "a, b, c and 2 more");
}

TEST(TextTest, AlignsTables) {
  TextTable table({"name", "loss"});
  table.add_row({"dense", "1.5"});
  table.add_row({"a ± b", "10.25"});
  table.add_row({"short"});
  EXPECT_EQ(table.str(),
            "name    loss\n"
            "------------\n"
            "dense    1.5\n"
            "a ± b  10.25\n"
            "short\n");
}

}  // namespace
}  // namespace lighthouse
