// scripts/experiment.py: arms, seeds and learning rates in one table, over several calls.
#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "workspace.h"

namespace lighthouse::test {
namespace {

using Json = nlohmann::json;

class Experiment : public Workspace {
 protected:
  void SetUp() override {
    if (Process("/usr/bin/env", {"python3", "-c", ""}).wait().exit_code != 0) GTEST_SKIP() << "python3 is not here";
    write_data();
    write_config();
    write_text(at("dense.yaml"), "extends: run.yaml\nstages: [{name: dense, attention: dense, steps: 10}]\n");
  }

  Arguments call(const Arguments& more) const {
    const std::string source = LIGHTHOUSE_SOURCE_DIR;
    Arguments all{
        "python3", source + "/scripts/experiment.py", "--out", path("out"), "--lighthouse", lighthouse_program(),
        "--set",   "schedule.min_ratio=0.5"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Outcome experiment(const Arguments& more) const { return Process("/usr/bin/env", call(more)).wait(); }
  Json results() const { return Json::parse(read_text(at("out/results.json"))); }
};

TEST_F(Experiment, WritesATableOfAllRuns) {
  const Arguments arms{path("dense.yaml@1e-3"), path("run.yaml@1e-3,2e-3"), "--seeds", "1,2", "--gpus", "0,1"};
  Arguments first = arms;
  first.insert(first.end(), {"--steps", "12"});
  expect_done(experiment(first));
  const Json found = results();
  ASSERT_EQ(found.size(), 6U);
  for (const Json& run : found) {
    EXPECT_TRUE(run["done"].get<bool>()) << run;
    EXPECT_EQ(run["tokens"], 12 * 2 * 128) << run;
    const bool two = run["arm"] == "run";
    EXPECT_EQ(run["steps"], two ? Json({9, 3}) : Json({12})) << run;
    EXPECT_EQ(run["loss_before_switch"].is_number(), two) << run;
    const std::string metrics = read_text(at("out") / run["name"].get<std::string>() / "metrics.jsonl");
    const Json last = Json::parse(metrics.substr(metrics.rfind('\n', metrics.size() - 2) + 1));
    EXPECT_EQ(run["loss"], last["validation_loss_dense"]) << run;
  }
  const std::string table = read_text(at("out/results.md"));
  EXPECT_NE(table.find("| run | 0.002 | 9 + 3 | 2 |"), std::string::npos) << table;

  const auto before = snapshot();
  expect_done(experiment(first));
  EXPECT_EQ(snapshot(), before) << "made again";

  Arguments equal_time = arms;
  equal_time.insert(equal_time.end(), {"--seconds", "1", "--seeds", "1"});
  expect_done(experiment(equal_time));
  EXPECT_EQ(results().size(), 9U);
}

TEST_F(Experiment, ContinuesWhereItWasStopped) {
  const Arguments arms{path("run.yaml@1e-3"), "--steps", "1000"};
  Process stopped("/usr/bin/env", call(arms));
  const std::filesystem::path metrics = at("out/run-750+250-lr0.001-seed42/metrics.jsonl");
  EXPECT_TRUE(wait_until(std::chrono::seconds(60), [&] { return std::filesystem::exists(metrics); }));
  stopped.send(SIGTERM);
  EXPECT_EQ(stopped.wait().exit_code, 3);
  EXPECT_FALSE(results()[0]["done"].get<bool>());
  expect_done(experiment(arms));
  EXPECT_TRUE(results()[0]["done"].get<bool>());
  EXPECT_EQ(losses_and_norms(metrics).back().substr(0, 9), "step 1000");
}

TEST_F(Experiment, EndsWithinItsTimeLimit) {
  const Outcome outcome = experiment({path("run.yaml@1e-3"), "--steps", "1000000", "--time-limit", "8"});
  EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
  EXPECT_NE(outcome.out.find("to be continued"), std::string::npos) << outcome.out;
}

TEST_F(Experiment, RefusesInvalidOptions) {
  const std::string dense = path("dense.yaml");
  expect_refusal(experiment({dense, "--steps", "4"}), {dense, "CONFIG@RATE"});
  expect_refusal(experiment({dense + "@fast", "--steps", "4"}), {"@fast", "CONFIG@RATE"});
  expect_refusal(experiment({path("none.yaml@1e-3"), "--steps", "4"}), {"none.yaml"});
  expect_refusal(experiment({dense + "@1e-3", "--steps", "1"}), {"--steps", "1 is not"});
  expect_refusal(experiment({dense + "@1e-3", "--seconds", "4"}), {"--seconds", "--steps first"});
  expect_refusal(experiment({path("run.yaml@1e-3"), "--steps", "4", "--set", "stages.1.attention=lighthouse"}),
                 {"lighthouse, lighthouse", "second is dense"});
  EXPECT_FALSE(std::filesystem::exists(at("out")));
  EXPECT_EQ(experiment({dense + "@1e-3", "--steps", "4", "--set", "data.train=nowhere.bin"}).exit_code, 2);
  expect_refusal(experiment({dense + "@1e-3", "--steps", "4"}), {"nowhere.bin", "another --out"});
}

}  // namespace
}  // namespace lighthouse::test
