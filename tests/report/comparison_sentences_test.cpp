#include "lighthouse/report/comparison_sentences.h"

#include <gtest/gtest.h>

namespace lighthouse {
namespace {

ReportedRun run_of(const std::string& name, int64_t tokens, double seconds, double loss) {
  ReportedRun run;
  run.name = name;
  run.history.steps.emplace_back().tokens = tokens;
  run.history.validations.push_back({10, "recovery", tokens, seconds, loss + 1, loss});
  return run;
}

std::string sentence(const ReportedRun& first, const ReportedRun& other) {
  const std::vector<std::string> sentences = comparison_sentences({first, other});
  return sentences.size() == 1 ? sentences[0] : "";
}

TEST(ComparisonSentences, SayWhichModelIsBetterWithTheSameTokens) {
  EXPECT_EQ(
      sentence(run_of("a", 1000, 50, 2.0), run_of("b", 1000, 100, 2.125)),
      "a ends at 2.000 nats per token in dense attention after 1,000 tokens and 50.0 s of training; b at 2.125 nats "
      "per token in dense attention after 1,000 tokens and 1 min 40 s of training. With the same tokens a is the "
      "better model by 0.125 nats per token, in 0.50 of the time.");
  EXPECT_NE(sentence(run_of("a", 1000, 50, 2.5), run_of("b", 1000, 100, 2.0)).find("a is the worse model by 0.500"),
            std::string::npos);
  EXPECT_NE(sentence(run_of("a", 1000, 50, 2.5), run_of("b", 1000, 100, 2.5)).find("both models are equally good"),
            std::string::npos);
}

TEST(ComparisonSentences, DoNotCompareModelsOfDifferentTokens) {
  EXPECT_EQ(sentence(run_of("a", 1000, 50, 2.0), run_of("b", 2000, 100, 2.125)).find("same tokens"), std::string::npos);
}

TEST(ComparisonSentences, SkipRunsWithoutValidation) {
  ReportedRun none = run_of("c", 1, 1, 1);
  none.history.validations.clear();
  EXPECT_TRUE(comparison_sentences({none, run_of("b", 1, 1, 1)}).empty());
  EXPECT_EQ(comparison_sentences({run_of("a", 1, 1, 1), none, run_of("b", 1, 1, 1)}).size(), 1);
}

}  // namespace
}  // namespace lighthouse
