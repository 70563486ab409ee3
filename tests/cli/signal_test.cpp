// Runs that receive SIGTERM, SIGINT or SIGHUP.
#include <csignal>
#include <thread>

#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// The number of complete lines with steps.
int steps_in(const fs::path& metrics) {
  const std::string text = read_text(metrics);
  int steps = 0;
  for (size_t at = text.find("\"grad_norm\""); at != std::string::npos; at = text.find("\"grad_norm\"", at + 1))
    ++steps;
  return steps;
}

class Signal : public Workspace, public ::testing::WithParamInterface<int> {
 protected:
  Signal() { write_data(); }

  int expected_exit() const { return 128 + GetParam(); }

  /// A run of many short stages, so that every step is near a switch.
  Arguments many_stages() const {
    std::string stages = "stages=[";
    for (int i = 0; i < 20; ++i) {
      stages += "{name: s" + std::to_string(i) + ", attention: " + (i % 2 == 0 ? "lighthouse" : "dense") +
                ", steps: " + std::to_string(15 + i) + "}, ";
    }
    return {"--set", stages + "]", "--set", "checkpoint={every: 0, keep: 1}", "--set", "evaluation.every=7"};
  }
};

TEST_P(Signal, SavesTheLastFinishedStepAndResumesExactly) {
  const Arguments settings = many_stages();
  expect_done(train("plain", settings));
  const fs::path metrics = run_folder("run") / "metrics.jsonl";
  Arguments arguments = train_arguments("run", settings);
  arguments.emplace_back("--resume");
  int stops = 0;
  for (int until = 1; stops < 12; until += 31) {
    Process run(lighthouse_program(), arguments);
    ASSERT_TRUE(wait_until(20s, [&] { return steps_in(metrics) >= until || !run.running(); }));
    run.send(GetParam());
    const Outcome outcome = run.wait();
    if (outcome.exit_code == 0) break;
    ASSERT_EQ(outcome.exit_code, expected_exit()) << outcome.err;
    EXPECT_NE(outcome.err.find("the step in progress is dropped"), std::string::npos) << outcome.err;
    EXPECT_TRUE(fs::exists(checkpoint("run", steps_in(metrics)) / "state.json")) << steps_in(metrics);
    ++stops;
  }
  EXPECT_GE(stops, 8);
  expect_done(lighthouse(arguments));
  EXPECT_EQ(losses_and_norms(metrics), losses_and_norms(run_folder("plain") / "metrics.jsonl"));
  // No step ran twice.
  EXPECT_FALSE(fs::exists(run_folder("run") / "metrics.discarded.jsonl"));
}

TEST_P(Signal, DoesNotWaitForALongStep) {
  // The second stage's first step takes many seconds.
  Process run(lighthouse_program(), train_arguments("run", {"--set", "stages.1.batch.global_batch_size=65536"}));
  const fs::path metrics = run_folder("run") / "metrics.jsonl";
  ASSERT_TRUE(wait_until(20s, [&] { return steps_in(metrics) >= 6 && fs::exists(checkpoint("run", 6)); }));
  std::this_thread::sleep_for(100ms);
  const auto begin = std::chrono::steady_clock::now();
  run.send(GetParam());
  const Outcome outcome = run.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_EQ(outcome.exit_code, expected_exit()) << outcome.err;
  EXPECT_EQ(steps_in(metrics), 6);
  expect_done(lighthouse({"generate", run_folder("run").string(), "--max-tokens", "1"}));
}

TEST_P(Signal, DuringTheFirstStepLeavesAnUsableFolder) {
  Process run(lighthouse_program(), train_arguments("run", {"--set", "stages.0.batch.global_batch_size=65536"}));
  const fs::path log = run_folder("run") / "log.txt";
  ASSERT_TRUE(wait_until(20s, [&] { return read_text(log).find("stage sparse") != std::string::npos; }));
  run.send(GetParam());
  EXPECT_EQ(run.wait().exit_code, expected_exit());
  expect_done(train("run", {"--resume"}));
}

TEST_P(Signal, StopsGenerate) {
  expect_done(train("run"));
  // The greedy token is never the end of text, which the model has not seen.
  Process generate(lighthouse_program(),
                   {"generate", run_folder("run").string(), "--temperature", "0", "--max-tokens", "100000000"});
  ASSERT_TRUE(wait_until(20s, [&] { return generate.written().size() > 20; }));
  generate.send(GetParam());
  EXPECT_EQ(generate.wait().exit_code, expected_exit());
}

INSTANTIATE_TEST_SUITE_P(Stop, Signal, ::testing::Values(SIGTERM, SIGINT, SIGHUP), [](const auto& test) {
  return test.param == SIGTERM ? "Term" : test.param == SIGINT ? "Int" : "Hup";
});

using HangUp = Signal;

TEST_F(HangUp, IsIgnoredUnderNohup) {
  write_config();
  Process run("/bin/sh",
              {"-c", "trap '' HUP; exec " + command_of("train '" + path("run.yaml") + "' --set stages.0.steps=400")});
  const fs::path metrics = run_folder("tiny") / "metrics.jsonl";
  ASSERT_TRUE(wait_until(20s, [&] { return steps_in(metrics) > 10; }));
  run.send(SIGHUP);
  expect_done(run.wait());
}

}  // namespace
}  // namespace lighthouse::test
