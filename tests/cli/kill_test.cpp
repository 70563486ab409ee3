// Runs that are killed by SIGKILL at random moments.
#include <csignal>
#include <random>
#include <thread>

#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class Kill : public Workspace {
 protected:
  static constexpr int kStages = 6;
  static constexpr int kStepsOfStage = 20;

  Kill() { write_data(); }

  Arguments settings() const {
    std::string stages = "stages=[";
    for (int i = 0; i < kStages; ++i) {
      stages += "{name: s" + std::to_string(i) + ", attention: " + (i % 2 == 0 ? "lighthouse" : "dense") +
                ", steps: " + std::to_string(kStepsOfStage) + "}, ";
    }
    return {"--set", stages + "]", "--set", "evaluation.every=9", "--set", "checkpoint={every: 1, keep: 2}"};
  }

  fs::path checkpoints() const { return run_folder("run") / "checkpoints"; }

  /// Whether a checkpoint is being written.
  bool saving() const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(checkpoints(), ignored)) {
      if (entry.path().filename().string().rfind(".partial-step-", 0) == 0) return true;
    }
    return false;
  }

  bool holds_a_checkpoint() const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(checkpoints(), ignored)) {
      if (entry.path().filename().string().rfind("step-", 0) == 0) return true;
    }
    return false;
  }

  /// Loads the newest complete checkpoint and verifies all checksums.
  void expect_sound() const {
    if (!holds_a_checkpoint()) return;
    expect_done(lighthouse({"generate", run_folder("run").string(), "--max-tokens", "1"}));
  }

  /// Finishes the run and compares it with an undisturbed one.
  void expect_finishes_as(const std::vector<std::string>& expected) const {
    Arguments arguments = settings();
    arguments.emplace_back("--resume");
    expect_done(train("run", arguments));
    EXPECT_EQ(losses_and_norms(run_folder("run") / "metrics.jsonl"), expected);
    for (const auto& entry : fs::recursive_directory_iterator(run_folder("run"))) {
      EXPECT_EQ(entry.path().filename().string().find(".partial-"), std::string::npos) << entry.path();
    }
  }
};

TEST_F(Kill, AtFiftyMomentsHalfOfThemDuringACheckpoint) {
  expect_done(train("plain", settings()));
  const std::vector<std::string> expected = losses_and_norms(run_folder("plain") / "metrics.jsonl");
  ASSERT_GT(expected.size(), static_cast<size_t>(kStages * kStepsOfStage));
  Arguments arguments = train_arguments("run", settings());
  arguments.emplace_back("--resume");

  std::mt19937 random(20);
  std::uniform_int_distribution<int> microseconds(0, 150'000);
  int anywhere = 0;
  int while_saving = 0;
  for (int attempt = 0; anywhere + while_saving < 50 && attempt < 300; ++attempt) {
    const bool aim = while_saving <= anywhere;
    Process run(lighthouse_program(), arguments);
    const std::chrono::microseconds delay(microseconds(random));
    if (aim) {
      // Leftovers of an earlier kill are removed at the start; wait for the new run's checkpoint.
      wait_until(60ms, [&] { return !saving() || !run.running(); });
      wait_until(20s, [&] { return saving() || !run.running(); });
      std::this_thread::sleep_for(delay / 20);
    } else {
      std::this_thread::sleep_for(delay);
    }
    run.send(SIGKILL);
    const Outcome outcome = run.wait();
    if (outcome.exit_code != -1) {
      expect_done(outcome);  // it finished first; start again
      expect_finishes_as(expected);
      fs::remove_all(run_folder("run"));
      continue;
    }
    ASSERT_EQ(outcome.signal, SIGKILL) << outcome.err;
    if (aim && !saving()) continue;  // the checkpoint was complete before the kill
    ++(aim ? while_saving : anywhere);
    expect_sound();
    if (HasFailure()) return;
  }
  EXPECT_EQ(anywhere, 25);
  EXPECT_EQ(while_saving, 25);
  expect_finishes_as(expected);
}

}  // namespace
}  // namespace lighthouse::test
