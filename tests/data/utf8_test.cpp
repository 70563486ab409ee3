#include "lighthouse/data/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace lighthouse {
namespace {

constexpr size_t kSound = std::string_view::npos;

TEST(Utf8Test, SoundText) {
  const std::string all =
      "ASCII, \xC3\xA9, \xE2\x82\xAC, \xF0\x9F\x98\x80, \xED\x9F\xBF, \xEE\x80\x80, \xF4\x8F\xBF\xBF";
  EXPECT_EQ(first_broken_utf8(all), kSound);
  EXPECT_EQ(first_broken_utf8(""), kSound);
  EXPECT_EQ(first_broken_utf8(std::string(100, '\0')), kSound);
}

TEST(Utf8Test, FindsTheFirstBrokenByteWhereverItLies) {
  for (const std::string& broken :
       {std::string("\x80"), std::string("\xFF"), std::string("\xC0\x80"), std::string("\xC1\xBF"),
        std::string("\xE0\x9F\xBF"), std::string("\xED\xA0\x80"), std::string("\xF0\x8F\xBF\xBF"),
        std::string("\xF4\x90\x80\x80"), std::string("\xF5\x80\x80\x80"), std::string("\xC3"), std::string("\xE2\x82"),
        std::string("\xF0\x9F\x98"), std::string("\xC3("), std::string("\xE2\x82(")}) {
    for (size_t before = 0; before < 20; ++before) {
      for (const char* after : {"", "and more text"}) {
        EXPECT_EQ(first_broken_utf8(std::string(before, 'a') + broken + after), before)
            << testing::PrintToString(broken);
      }
    }
  }
}

TEST(Utf8Test, WholeCharactersLeaveOutOneThatIsCutOff) {
  const std::string text = "ab\xF0\x9F\x98\x80";
  EXPECT_EQ(whole_characters(text), 6);
  for (size_t length : {3, 4, 5}) EXPECT_EQ(whole_characters(text.substr(0, length)), 2) << length;
  EXPECT_EQ(whole_characters("ab"), 2);
  EXPECT_EQ(whole_characters(""), 0);
  EXPECT_EQ(whole_characters("caf\xC3"), 3);
  EXPECT_EQ(whole_characters("caf\xC3\xA9"), 5);
}

}  // namespace
}  // namespace lighthouse
