// `lighthouse --version`, and the commit in it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>

#include "core/temporary_folder.h"
#include "lighthouse/core/file.h"
#include "program.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;

/// The commit that version.cmake writes for a source folder, given the commit that `git archive` inserted or "".
std::string written_commit(const fs::path& folder, const std::string& archived) {
  std::string script = read_file(LIGHTHOUSE_SOURCE_DIR "/src/cli/version.cmake");
  const std::string placeholder = "$Format:%h$";
  const size_t at = script.find(placeholder);
  if (at != std::string::npos && !archived.empty()) script.replace(at, placeholder.size(), archived);
  write_file(folder / "version.cmake", script);
  const std::string command = "cd " + folder.string() + " && " LIGHTHOUSE_CMAKE " -DSOURCE_DIR=" + folder.string() +
                              " -DOUTPUT=commit.cpp -P version.cmake";
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::smatch match;
  const std::string source = read_file(folder / "commit.cpp");
  return std::regex_search(source, match, std::regex("return \"([^\"]*)\";")) ? match[1].str() : "";
}

TEST(VersionTest, NamesVersionCommitAndBuild) {
  const Outcome version = lighthouse({"--version"});
  EXPECT_EQ(version.exit_code, 0) << version.err;
  EXPECT_TRUE(std::regex_match(version.out, std::regex("lighthouse \\d+\\.\\d+\\.\\d+\n"
                                                       "commit: \\S+\n"
                                                       "build: \\S+\n"
                                                       "compiler: \\S+ \\d+\\.\\S+\n"
                                                       "CUDA: (no|\\d+\\.\\S+)\n")))
      << version.out;
}

TEST(VersionTest, CommitIsUnknownOutsideARepository) {
  const TemporaryFolder folder;
  EXPECT_EQ(written_commit(folder.path(), ""), "unknown");
}

TEST(VersionTest, CommitOfATarballIsThatOfTheArchive) {
  const TemporaryFolder folder;
  EXPECT_EQ(written_commit(folder.path(), "0123abc"), "0123abc");
}

}  // namespace
}  // namespace lighthouse::test
