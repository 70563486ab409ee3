#include "lighthouse/report/comparison_page.h"

#include <gtest/gtest.h>

#include <set>

#include "lighthouse/report/gnuplot.h"
#include "lighthouse/train/memory_plan.h"
#include "train/tiny_run.h"

namespace lighthouse {
namespace {

/// An unfinished run with a switch after its second step.
ReportedRun run_of(const TemporaryFolder& folder, const std::string& name, int64_t steps) {
  ReportedRun run;
  run.name = name;
  run.config = tiny_run(folder, "run");
  for (int64_t step = 1; step <= steps; ++step) {
    StepMetrics metrics;
    metrics.step = step;
    metrics.stage = step <= 2 ? "pretrain" : "recovery";
    metrics.tokens = 128 * step;
    metrics.loss = 6.0 / static_cast<double>(step);
    metrics.gradient_norm = 1;
    metrics.learning_rate = 0.01;
    metrics.tokens_per_second = 1000;
    metrics.seconds = 0.5 * static_cast<double>(step);
    run.history.steps.push_back(metrics);
  }
  run.history.validations.push_back({2, "pretrain", 256, 1, 3, 3.5});
  return run;
}

class ComparisonPage : public testing::Test {
 protected:
  TemporaryFolder folder_;
};

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST_F(ComparisonPage, IsSelfContained) {
  if (!gnuplot_is_installed()) GTEST_SKIP() << "gnuplot is not installed";
  const ReportedRun first = run_of(folder_, "first", 5);
  ReportedRun second = run_of(folder_, "<second> & 'last'", 3);
  second.config.optimizer.learning_rate = 0.5;
  const std::string page = comparison_page({first, second});
  for (const char* part : {"Training loss", "Validation loss", "Throughput", "Gradient norm", "Learning rate", "Memory",
                           "Settings that differ", "optimizer.learning_rate", "pretrain → recovery", "At equal time",
                           "5 of 9 steps", "prefers-color-scheme"}) {
    EXPECT_GT(count(page, part), 0) << part;
  }
  EXPECT_EQ(count(page, "<second>"), 0) << "a name became an element";
  EXPECT_GT(count(page, "&lt;second&gt; &amp; 'last'"), 2);
  for (const char* part : {"<script", "src=", "<link", "@import", "url("}) EXPECT_EQ(count(page, part), 0) << part;
  EXPECT_EQ(count(page, "http"), count(page, "xmlns")) << "something else is fetched";
}

TEST_F(ComparisonPage, IdsAreUnique) {
  if (!gnuplot_is_installed()) GTEST_SKIP() << "gnuplot is not installed";
  const std::string page = comparison_page({run_of(folder_, "one", 4), run_of(folder_, "two", 4)});
  std::set<std::string> ids;
  for (size_t at = page.find(" id="); at != std::string::npos; at = page.find(" id=", at + 1)) {
    const size_t begin = at + 5, end = page.find(page[at + 4], begin);
    const std::string id = page.substr(begin, end - begin);
    EXPECT_TRUE(ids.insert(id).second) << id;
  }
  EXPECT_GT(ids.size(), 20U);
}

TEST_F(ComparisonPage, OfARunThatHasJustBegun) {
  if (!gnuplot_is_installed()) GTEST_SKIP() << "gnuplot is not installed";
  ReportedRun run = run_of(folder_, "young", 1);
  run.history.validations.clear();
  const std::string page = comparison_page({run});
  EXPECT_EQ(count(page, "Validation loss"), 0);
  EXPECT_EQ(count(page, "Settings that differ"), 0);
  EXPECT_GT(count(page, "1 of 9 steps"), 0);
}

TEST_F(ComparisonPage, TablesShowDifferences) {
  ReportedRun second = run_of(folder_, "second", 3), third = run_of(folder_, "third", 3);
  second.config.optimizer.learning_rate = 0.5;
  third.config.schedule.warmup_steps = 7;
  const ReportTable table = differences_table({run_of(folder_, "first", 5), second, third});
  EXPECT_EQ(table.header, (std::vector<std::string>{"setting", "first", "second", "third"}));
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"optimizer.learning_rate", "0.02", "0.5", "0.02"}));
  EXPECT_EQ(table.rows[1], (std::vector<std::string>{"schedule.warmup_steps", "2", "2", "7"}));
}

TEST_F(ComparisonPage, MemoryIsThePlanned) {
  const ReportedRun run = run_of(folder_, "run", 1);
  const auto backend = make_cpu_backend();
  int64_t sum = 0;
  for (const auto& [use, bytes] : memory_of(run)) sum += bytes;
  EXPECT_GE(sum, planned_bytes(run.config, *backend));
  EXPECT_EQ(memory_table({run}).rows[0].size(), 8U);
}

TEST_F(ComparisonPage, MemoryOfSeveralRanksIsThatOfOne) {
  ReportedRun run = run_of(folder_, "run", 1);
  run.config.distributed.shard_optimizer = true;
  run.config.model.tokenizer = (folder_ / "moved/tokenizer.json").string();
  run.config.stages[1].data.document_mask = DocumentMask::kAttention;
  const auto optimizer_of = [&](int ranks) {
    run.ranks = ranks;
    for (const auto& [use, bytes] : memory_of(run)) {
      if (use == name_of(MemoryUse::kOptimizer)) return bytes;
    }
    return int64_t{0};
  };
  EXPECT_LT(optimizer_of(4), optimizer_of(1));
  EXPECT_EQ(memory_table({run}).rows[0][1], "4");
}

}  // namespace
}  // namespace lighthouse
