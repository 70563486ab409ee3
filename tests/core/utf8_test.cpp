#include "lighthouse/core/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace lighthouse {
namespace {

constexpr size_t kValid = std::string_view::npos;

TEST(Utf8Test, AcceptsWellFormedText) {
  const std::string all =
      "ASCII, \xC3\xA9, \xE2\x82\xAC, \xF0\x9F\x98\x80, \xED\x9F\xBF, \xEE\x80\x80, \xF4\x8F\xBF\xBF";
  EXPECT_EQ(first_invalid_utf8(all), kValid);
  EXPECT_EQ(first_invalid_utf8(""), kValid);
  EXPECT_EQ(first_invalid_utf8(std::string(100, '\0')), kValid);
}

TEST(Utf8Test, FindsTheFirstInvalidByteAtEveryOffset) {
  for (const std::string& invalid :
       {std::string("\x80"), std::string("\xFF"), std::string("\xC0\x80"), std::string("\xC1\xBF"),
        std::string("\xE0\x9F\xBF"), std::string("\xED\xA0\x80"), std::string("\xF0\x8F\xBF\xBF"),
        std::string("\xF4\x90\x80\x80"), std::string("\xF5\x80\x80\x80"), std::string("\xC3"), std::string("\xE2\x82"),
        std::string("\xF0\x9F\x98"), std::string("\xC3("), std::string("\xE2\x82(")}) {
    for (size_t before = 0; before < 20; ++before) {
      for (const char* after : {"", "and more text"}) {
        EXPECT_EQ(first_invalid_utf8(std::string(before, 'a') + invalid + after), before)
            << testing::PrintToString(invalid);
      }
    }
  }
}

TEST(Utf8Test, WholeCharactersExcludeOneThatIsCutOff) {
  const std::string text = "ab\xF0\x9F\x98\x80";
  EXPECT_EQ(whole_characters(text), 6);
  for (size_t length : {3, 4, 5}) EXPECT_EQ(whole_characters(text.substr(0, length)), 2) << length;
  EXPECT_EQ(whole_characters("ab"), 2);
  EXPECT_EQ(whole_characters(""), 0);
  EXPECT_EQ(whole_characters("caf\xC3"), 3);
  EXPECT_EQ(whole_characters("caf\xC3\xA9"), 5);
}

TEST(Utf8Test, CharacterLength) {
  EXPECT_EQ(character_length("ab"), 1);
  EXPECT_EQ(character_length("\xC3\xA9!"), 2);
  EXPECT_EQ(character_length("\xE2\x82\xAC!"), 3);
  EXPECT_EQ(character_length("\xF0\x9F\x98\x80"), 4);
  EXPECT_EQ(character_length("\x80"), 0);
  EXPECT_EQ(character_length("\xE2\x82"), 0);
}

TEST(Utf8Test, CountsCharacters) {
  EXPECT_EQ(count_characters(""), 0);
  EXPECT_EQ(count_characters("caf\xC3\xA9 \xF0\x9F\x98\x80"), 6);
}

}  // namespace
}  // namespace lighthouse
