// Plans of GPU runs, made where there need not be a GPU, and a training step timed.
#include <regex>

#include "workspace.h"

namespace lighthouse::test {
namespace {

const std::string kPaper = std::string(LIGHTHOUSE_SOURCE_DIR) + "/configs/paper-530m-98k.yaml";

/// The recomputation that the plan of a dense step of the paper's model chooses within so much memory.
std::string recompute_within(const std::string& gibibytes) {
  const Outcome plan =
      lighthouse({"plan", kPaper, "--set", "hardware.memory=" + gibibytes, "--set", "stages.0.attention=dense"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  std::smatch match;
  EXPECT_TRUE(std::regex_search(plan.out, match, std::regex("pretrain +(none|norms|mlp|block) "))) << plan.out;
  return match.empty() ? "" : match[1].str();
}

TEST(Plan, OfAGpuRunNeedsNoGpu) {
  const Outcome plan = lighthouse({"plan", kPaper});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  for (const char* part : {"on a GPU in bfloat16", "recompute", "recovery", "pinned", "an H100", "It fits"}) {
    EXPECT_NE(plan.out.find(part), std::string::npos) << part << " in\n" << plan.out;
  }
}

TEST(Plan, RecomputesTheLeastThatFits) {
  EXPECT_EQ(recompute_within("78"), "none");
  EXPECT_EQ(recompute_within("70"), "norms");
  EXPECT_EQ(recompute_within("50"), "mlp");
  EXPECT_EQ(recompute_within("25"), "block");
}

TEST(Plan, SaysWhenTheDeterministicWorkspaceIsTooSmall) {
  const Outcome plan =
      lighthouse({"plan", kPaper, "--set", "run.deterministic=true", "--set", "memory.attention_workspace=0.1"});
  EXPECT_EQ(plan.exit_code, 2);
  EXPECT_NE(plan.err.find("memory.attention_workspace"), std::string::npos) << plan.err;
}

class BenchStep : public Workspace {};

TEST_F(BenchStep, TimesAStepAndItsParts) {
  const Outcome bench = lighthouse(
      {"bench", "step", write_config(), "--set", "run.device=cpu", "--stage", "1", "--steps", "2", "--breakdown"});
  ASSERT_EQ(bench.exit_code, 0) << bench.err;
  for (const char* part : {"tokens/s", "floor", "planned", "attention backward", "adamw", "time / floor"}) {
    EXPECT_NE(bench.out.find(part), std::string::npos) << part << " in\n" << bench.out;
  }
  const Outcome none = lighthouse({"bench", "step", path("run.yaml"), "--stage", "2"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_NE(none.err.find("stages 0 to 1"), std::string::npos) << none.err;
}

}  // namespace
}  // namespace lighthouse::test
