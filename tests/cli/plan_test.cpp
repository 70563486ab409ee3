// Plans of GPU runs on machines without a GPU, and timing of a training step.
#include <cstdlib>
#include <regex>

#include "workspace.h"

namespace lighthouse::test {
namespace {

const std::string kPaper = std::string(LIGHTHOUSE_SOURCE_DIR) + "/configs/paper-530m-98k.yaml";

/// The recomputation that a plan chooses for a dense step of the paper's model with this much memory.
std::string recompute_within(const std::string& gibibytes) {
  const Outcome plan =
      lighthouse({"plan", kPaper, "--set", "hardware.memory=" + gibibytes, "--set", "stages.0.attention=dense"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  std::smatch match;
  EXPECT_TRUE(std::regex_search(plan.out, match, std::regex("pretrain +(none|norms|mlp|block) "))) << plan.out;
  return match.empty() ? "" : match[1].str();
}

TEST(Plan, OfAGpuRunNeedsNoGpu) {
  const Outcome plan = lighthouse({"plan", kPaper, "--gpu", "H100"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  for (const char* part : {"on H100 in bfloat16", "recompute", "recovery", "pins", "It fits: H100 has"}) {
    EXPECT_NE(plan.out.find(part), std::string::npos) << part << " in\n" << plan.out;
  }
}

bool gpu_is_here() {
  return std::system("nvidia-smi -L >/dev/null 2>&1") == 0;
}

TEST(Plan, NamesTheGpu) {
  const std::string out = lighthouse({"plan", kPaper}).out;
  if (gpu_is_here()) {
    EXPECT_NE(out.find("this machine's"), std::string::npos) << out;
  } else {
    EXPECT_NE(out.find("on H100 in bfloat16 (this machine has no GPU; --gpu NAME plans for another)"),
              std::string::npos)
        << out;
  }
}

TEST(Plan, ForAnotherGpuByName) {
  const auto plan_of = [](const Arguments& more) {
    Arguments all{"plan", kPaper, "--set", "stages.0.attention=dense"};
    all.insert(all.end(), more.begin(), more.end());
    return lighthouse(all);
  };
  // The memory determines the recomputation.
  const auto recomputes = [](const std::string& plan, const std::string& what) {
    return std::regex_search(plan, std::regex("\npretrain +" + what + " "));
  };
  EXPECT_TRUE(recomputes(plan_of({"--gpu", "h200"}).out, "none")) << plan_of({"--gpu", "h200"}).out;
  EXPECT_TRUE(recomputes(plan_of({"--gpu", "RTX 5090"}).out, "block")) << plan_of({"--gpu", "RTX 5090"}).out;
  EXPECT_NE(plan_of({"--gpu", "RTX 4090"}).out.find("RTX-4090"), std::string::npos);
  const std::string settled = plan_of({"--gpu", "h200", "--set", "hardware.memory=25", "--set",
                                       "hardware.peak_tflops=100", "--set", "hardware.bandwidth=1"})
                                  .out;
  EXPECT_TRUE(recomputes(settled, "block")) << settled;
  for (const char* part : {"100 TFLOP/s and 1.00 TB/s", "hardware.memory is 25"}) {
    EXPECT_NE(settled.find(part), std::string::npos) << part << " in\n" << settled;
  }
  const Outcome unknown = plan_of({"--gpu", "toaster"});
  EXPECT_EQ(unknown.exit_code, 2);
  for (const char* word : {"no GPU toaster is known", "A100-80GB", "hardware.peak_tflops"}) {
    EXPECT_NE(unknown.err.find(word), std::string::npos) << word << " in\n" << unknown.err;
  }
}

TEST(Plan, RecomputesTheLeastThatFits) {
  EXPECT_EQ(recompute_within("78"), "none");
  EXPECT_EQ(recompute_within("70"), "norms");
  EXPECT_EQ(recompute_within("50"), "mlp");
  EXPECT_EQ(recompute_within("25"), "block");
}

TEST(Plan, RefusesATooSmallDeterministicWorkspace) {
  const Outcome plan =
      lighthouse({"plan", kPaper, "--set", "run.deterministic=true", "--set", "memory.attention_workspace=0.1"});
  EXPECT_EQ(plan.exit_code, 2);
  EXPECT_NE(plan.err.find("memory.attention_workspace"), std::string::npos) << plan.err;
}

TEST(Plan, RefusesADeterministicBackwardInsideDocuments) {
  const Outcome plan = lighthouse({"plan", kPaper, "--set", "run.deterministic=true", "--set",
                                   "stages.0.attention=dense", "--set", "data.document_mask=attention"});
  EXPECT_EQ(plan.exit_code, 2);
  EXPECT_NE(plan.err.find("set run.deterministic to false"), std::string::npos) << plan.err;
}

TEST(Plan, CountsTheConfigsLogits) {
  const auto bytes = [](const char* gibibytes) {
    const std::string out = lighthouse({"plan", kPaper, "--set", "memory.recompute=block", "--set",
                                        std::string("memory.logits=") + gibibytes})
                                .out;
    const std::string before = "The run allocates ";
    const size_t at = out.find(before);
    return at == std::string::npos ? 0.0 : std::stod(out.substr(at + before.size()));
  };
  EXPECT_GT(bytes("8"), bytes("0") + 3);
  EXPECT_EQ(bytes("2"), bytes("0"));
}

TEST(Plan, OfManyRanks) {
  const Outcome plan = lighthouse({"plan", kPaper, "--ranks", "4", "--step-seconds", "40"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  for (const char* part : {"memory of each rank", "micro-batches per rank", "not hidden", "as measured", "4 ranks"}) {
    EXPECT_NE(plan.out.find(part), std::string::npos) << part << " in\n" << plan.out;
  }
  const Outcome many = lighthouse({"plan", kPaper, "--ranks", "4096", "--set", "batch.global_batch_size=4096"});
  ASSERT_EQ(many.exit_code, 0) << many.err;
  EXPECT_NE(many.out.find("4096 ranks, 8 per host"), std::string::npos) << many.out;
}

TEST(Plan, OfOneRankHasNoScalingTable) {
  EXPECT_EQ(lighthouse({"plan", kPaper, "--ranks", "1"}).out, lighthouse({"plan", kPaper}).out);
}

TEST(Plan, RefusesInvalidRanks) {
  for (const char* ranks : {"0", "-1", "two", "1.5", "99999999999"}) {
    const Outcome plan = lighthouse({"plan", kPaper, "--ranks", ranks});
    EXPECT_EQ(plan.exit_code, 2) << ranks;
    EXPECT_NE(plan.err.find("--ranks"), std::string::npos) << plan.err;
  }
  EXPECT_EQ(lighthouse({"plan", kPaper, "--step-seconds", "3"}).exit_code, 2) << "of how many ranks?";
  for (const char* seconds : {"0", "-3", "long", "nan", "1e300"}) {
    const Outcome plan = lighthouse({"plan", kPaper, "--ranks", "2", "--step-seconds", seconds});
    EXPECT_EQ(plan.exit_code, 2) << seconds;
    EXPECT_NE(plan.err.find("--step-seconds"), std::string::npos) << plan.err;
  }
  const Outcome more = lighthouse({"plan", kPaper, "--ranks", "64", "--set", "batch.global_batch_size=8"});
  EXPECT_EQ(more.exit_code, 2) << "more ranks than micro-batches";
  EXPECT_NE(more.err.find("at most 8 ranks"), std::string::npos) << more.err;
  for (const char* link : {"hardware.link_bandwidth=0", "hardware.network_latency=-1", "hardware.ranks_per_host=0"}) {
    EXPECT_EQ(lighthouse({"plan", kPaper, "--ranks", "2", "--set", link}).exit_code, 2) << link;
  }
}

class BenchStep : public Workspace {};

TEST_F(BenchStep, TimesAStepAndItsParts) {
  const Outcome bench = lighthouse(
      {"bench", "step", write_config(), "--set", "run.device=cpu", "--stage", "1", "--steps", "2", "--breakdown"});
  ASSERT_EQ(bench.exit_code, 0) << bench.err;
  for (const char* part : {"tokens/s", "roofline", "planned", "attention backward", "adamw", "time / roofline"}) {
    EXPECT_NE(bench.out.find(part), std::string::npos) << part << " in\n" << bench.out;
  }
  const Outcome none = lighthouse({"bench", "step", path("run.yaml"), "--stage", "2"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_NE(none.err.find("expected 0 to 1"), std::string::npos) << none.err;
}

}  // namespace
}  // namespace lighthouse::test
