// scripts/to_tensorboard.py with a fake writer that records its calls.
#include <unistd.h>

#include <csignal>

#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;

const std::string kLines =
    "{\"step\": 1, \"stage\": \"a\xE2\x80\xA8\", \"tokens\": 64, \"loss\": 5.5, \"mfu\": null}\n"
    "{\"step\": 1, \"stage\": \"a\", \"tokens\": 64, \"seconds\": 1.5, \"validation_loss\": 5.25}\n";
const std::string kEvents = "1 train/loss 5.5\n1 progress/tokens 64.0\n1 validation/loss 5.25\n";

class TensorBoard : public Workspace {
 protected:
  void SetUp() override {
    if (Process("/usr/bin/env", {"python3", "-c", ""}).wait().exit_code != 0) GTEST_SKIP() << "python3 is not here";
  }

  Arguments call(const Arguments& more = {}) const {
    const std::string source = LIGHTHOUSE_SOURCE_DIR;
    Arguments all{"PYTHONPATH=" + source + "/tests/cli/stub", "PYTHONDONTWRITEBYTECODE=1", "python3",
                  source + "/scripts/to_tensorboard.py", path("run")};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Outcome write(const std::string& metrics, const Arguments& more = {}) const {
    write_text(at("run/metrics.jsonl"), metrics);
    return Process("/usr/bin/env", call(more)).wait();
  }
  std::string events() const {
    const fs::path file = at("run/report/tensorboard/events.txt");
    return fs::exists(file) ? read_text(file) : "";
  }
};

TEST_F(TensorBoard, WritesCompleteLines) {
  expect_done(write(kLines + "{\"step\": 2, \"lo"));
  EXPECT_EQ(events(), kEvents);
  expect_refusal(write(kLines), {"holds events already", "--out"});
}

TEST_F(TensorBoard, FollowsARunThatIsResumed) {
  write_text(at("run/metrics.jsonl"), kLines + "{\"step\": 2, \"loss\": 9.0}\n");
  Process follower("/usr/bin/env", call({"--follow"}));
  const auto has_come = [&](const std::string& expected) {
    return wait_until(std::chrono::seconds(20), [&] { return events() == expected; });
  };
  EXPECT_TRUE(has_come(kEvents + "2 train/loss 9.0\n")) << events();
  fs::rename(at("run/metrics.jsonl"), at("aside"));
  usleep(2'500'000);  // the script polls every two seconds
  EXPECT_TRUE(follower.running());
  write_text(at("run/metrics.jsonl"), kLines + "{\"step\": 2, \"loss\": 4.0}\n");
  EXPECT_TRUE(has_come(kEvents + "2 train/loss 9.0\npurge 2\n2 train/loss 4.0\n")) << events();
  follower.send(SIGINT);
  EXPECT_EQ(follower.wait().exit_code, 0);
}

TEST_F(TensorBoard, RefusesOtherFiles) {
  for (const std::string line : {"{\"step\": 2, \"lo", "[1]", "{}", "{\"step\": 2, \"loss\": \"low\"}", "\xFF"}) {
    expect_refusal(write(kLines + line + "\n"), {path("run/metrics.jsonl:3"), "not a line of metrics"});
    EXPECT_FALSE(fs::exists(at("run/report"))) << line;
  }
  write_text(at("file"), "");
  expect_refusal(write(kLines, {"--out", path("file")}), {path("file")});
  fs::remove(at("run/metrics.jsonl"));
  expect_refusal(Process("/usr/bin/env", call()).wait(), {path("run"), "is not a run's directory"});
}

}  // namespace
}  // namespace lighthouse::test
