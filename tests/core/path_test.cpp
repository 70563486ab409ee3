#include "lighthouse/core/path.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "lighthouse/core/error.h"
#include "temporary_folder.h"

namespace lighthouse {
namespace {

class Path : public testing::Test {
 protected:
  Path() {
    setenv("HOME", "/home/somebody", 1);
    setenv("LH_DATA", "/disk/data", 1);
    unsetenv("LH_NOTHING");
  }
};

TEST_F(Path, KeepsPathsWithoutExpansions) {
  for (const char* path : {"", "a", "/a/b", "./~a/b", "a~", "bytes", "data/train-*.bin", "a/~b/c"}) {
    EXPECT_EQ(expand_path(path), path);
  }
}

TEST_F(Path, ExpandsHomesAndVariables) {
  EXPECT_EQ(expand_path("~"), "/home/somebody");
  EXPECT_EQ(expand_path("~/runs/a"), "/home/somebody/runs/a");
  EXPECT_EQ(expand_path("$HOME/runs"), "/home/somebody/runs");
  EXPECT_EQ(expand_path("${LH_DATA}-2/$LH_DATA/*.bin"), "/disk/data-2//disk/data/*.bin");
  const passwd* user = getpwuid(getuid());
  ASSERT_NE(user, nullptr);
  const std::string home = user->pw_dir;
  EXPECT_EQ(expand_path(fmt::format("~{}/a", user->pw_name)), home + "/a");
  unsetenv("HOME");
  EXPECT_EQ(expand_path("~/a"), home + "/a");
}

TEST_F(Path, RefusesUnknownUsersAndVariables) {
  setenv("LH_ODD", "$HOME/a", 1);
  setenv("LH_TILDE", "~/a", 1);
  setenv("LH_EMPTY", "", 1);
  for (const auto& refused : std::initializer_list<std::pair<std::string, std::string>>{
           {"~nobody-of-this-name/a", "user \"nobody-of-this-name\""},
           {"$LH_NOTHING/a", "LH_NOTHING is not set"},
           {"${LH_EMPTY}/a", "LH_EMPTY is not set"},
           {"$LH_ODD/a", "LH_ODD is \""},
           {"$LH_TILDE/a", "LH_TILDE is \""},
           {"a$", "$NAME"},
           {"${HOME/a", "${NAME}"},
           {"a/$1", "$NAME"},
           {"$(pwd)/a", "$NAME"},
           {"runs/~/a", "only at the start of a path"}}) {
    const std::string why = message_of<InputError>([&] { expand_path(refused.first); });
    EXPECT_TRUE(contains(why, refused.first)) << why;
    EXPECT_TRUE(contains(why, refused.second)) << why;
  }
}

}  // namespace
}  // namespace lighthouse
