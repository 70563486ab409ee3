// The HTML page of `lighthouse compare`.
#include <cstdlib>

#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;

class Compare : public Workspace {
 protected:
  Compare() {
    write_data();
    expect_done(train("one"));
  }
  static bool gnuplot_is_installed() { return std::system("command -v gnuplot >/dev/null 2>&1") == 0; }
};

TEST_F(Compare, WritesAPageIntoTheFirstRun) {
  if (!gnuplot_is_installed()) GTEST_SKIP() << "gnuplot is not installed";
  const Outcome outcome = lighthouse({"compare", run_folder("one").string()});
  expect_done(outcome);
  const fs::path page = run_folder("one") / "report" / "index.html";
  EXPECT_NE(outcome.err.find(page.string()), std::string::npos) << outcome.err;
  EXPECT_NE(read_text(page).find("sparse → recovery"), std::string::npos);
  expect_done(train("one", {"--resume"}));  // the report does not hinder resuming
}

TEST_F(Compare, ReadsARunWhoseTokenizerHasMoved) {
  write_text(at("tokenizer.json"),
             R"({"decoder": {"type": "ByteLevel"}, "added_tokens": [{"id": 256, "content": "</s>"}],
    "model": {"type": "BPE", "vocab": {"a": 97, "b": 98}, "merges": []}})");
  expect_done(train(
      "two", {"--set", "model.tokenizer=" + path("tokenizer.json"), "--set", "stages.1.data.document_mask=attention"}));
  fs::remove(at("tokenizer.json"));
  expect_done(lighthouse({"compare", path("runs/two"), path("runs/one"), "--page", path("page.html")}));
}

TEST_F(Compare, ReadsAnUnfinishedRun) {
  if (!gnuplot_is_installed()) GTEST_SKIP() << "gnuplot is not installed";
  const fs::path metrics = run_folder("one") / "metrics.jsonl";
  const std::string text = read_text(metrics);
  write_text(metrics, text.substr(0, text.size() / 2));  // with an incomplete last line
  expect_done(lighthouse({"compare", run_folder("one").string(), "--page", path("page.html")}));
  EXPECT_NE(read_text(at("page.html")).find(" of 10 steps"), std::string::npos);
  EXPECT_FALSE(fs::exists(run_folder("one") / "report"));
}

TEST_F(Compare, RunsWithEqualNamesAreDistinguished) {
  fs::copy(run_folder("one"), run_folder("two"), fs::copy_options::recursive);
  const Outcome outcome =
      lighthouse({"compare", run_folder("one").string(), run_folder("two").string(), "--page", path("page.html")});
  expect_done(outcome);
  for (const char* run : {"one", "two"}) {
    EXPECT_NE(outcome.out.find('\n' + run_folder(run).string()), std::string::npos) << outcome.out;
  }
}

TEST_F(Compare, WithoutGnuplotItPrintsTablesAndAWarning) {
  const std::string before = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  const Outcome outcome = lighthouse({"compare", run_folder("one").string()});
  setenv("PATH", before.c_str(), 1);
  expect_done(outcome);
  EXPECT_NE(outcome.out.find("At equal time"), std::string::npos);
  EXPECT_NE(outcome.err.find("gnuplot-nox"), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(run_folder("one") / "report"));
}

TEST_F(Compare, APageThatCannotBeWrittenIsRefused) {
  if (!gnuplot_is_installed()) GTEST_SKIP() << "gnuplot is not installed";
  write_text(at("file"), "");
  const Outcome outcome = lighthouse({"compare", run_folder("one").string(), "--page", path("file/page.html")});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find(path("file")), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace lighthouse::test
