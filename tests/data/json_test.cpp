#include "lighthouse/data/json.h"

#include <gtest/gtest.h>

namespace lighthouse {
namespace {

TEST(JsonTest, CountsBracketsOutsideStrings) {
  EXPECT_FALSE(nests_deeply(R"({"a": [1, {"b": []}]})"));
  EXPECT_TRUE(nests_deeply(std::string(101, '[')));
  EXPECT_FALSE(nests_deeply(std::string(100, '[') + std::string(100, ']')));
  EXPECT_FALSE(nests_deeply('"' + std::string(200, '[') + '"'));
  EXPECT_FALSE(nests_deeply(R"("\")" + std::string(200, '[') + R"(\\")"));
  EXPECT_TRUE(nests_deeply(R"("\\")" + std::string(200, '[')));
  std::string flat;
  for (int i = 0; i < 200; ++i) flat += "[]{}";
  EXPECT_FALSE(nests_deeply(flat));
}

}  // namespace
}  // namespace lighthouse
