// Disks that are full, fill up during a run, or are read-only.
#include <csignal>
#include <memory>
#include <thread>

#include "tiny_disk.h"
#include "workspace.h"

namespace lighthouse::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr const char* kNeedsRoot = "a small disk can be mounted by root only";

using Disk = Workspace;

TEST_F(Disk, PrepareOnAFullOneLeavesNothingBehind) {
  const TinyDisk disk(at("disk"), 64 << 10);
  if (!disk.mounted()) GTEST_SKIP() << kNeedsRoot;
  write_text(at("text.txt"), sample_text(100000));
  expect_refusal(lighthouse({"prepare", "--out", path("disk/data"), path("text.txt")}),
                 {path("disk/data"), "No space left on device", "free some space"});
  EXPECT_TRUE(!fs::exists(at("disk/data")) || fs::is_empty(at("disk/data")));
}

TEST_F(Disk, PrepareOnAFullOneKeepsExistingShards) {
  const TinyDisk disk(at("disk"), 64 << 10);
  if (!disk.mounted()) GTEST_SKIP() << kNeedsRoot;
  write_text(at("short.txt"), sample_text(2000));
  write_text(at("long.txt"), sample_text(100000));
  expect_done(lighthouse({"prepare", "--out", path("disk"), path("short.txt")}));
  const auto before = snapshot();
  expect_refusal(lighthouse({"prepare", "--overwrite", "--out", path("disk"), path("long.txt")}),
                 {"No space left on device", "free some space"});
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Disk, PrepareOnAReadOnlyOne) {
  const TinyDisk disk(at("disk"), 64 << 10);
  if (!disk.mounted()) GTEST_SKIP() << kNeedsRoot;
  write_text(at("text.txt"), sample_text(2000));
  disk.make_read_only();
  for (const char* out : {"disk", "disk/data"}) {
    expect_refusal(lighthouse({"prepare", "--out", path(out), path("text.txt")}),
                   {path(out), "Read-only file system", "choose a place that this user may write"});
  }
}

TEST_F(Disk, TrainOnAReadOnlyOne) {
  const TinyDisk disk(at("disk"), 64 << 10);
  if (!disk.mounted()) GTEST_SKIP() << kNeedsRoot;
  write_data();
  disk.make_read_only();
  for (const char* out : {"disk", "disk/run"}) {
    expect_refusal(lighthouse({"train", write_config(), "--set", "run.directory=" + path(out)}),
                   {path(out), "Read-only file system", "choose"});
  }
}

TEST_F(Disk, CheckpointThatWillNotFitIsRefusedBeforeTheFirstStep) {
  const TinyDisk disk(at("disk"), 100 << 10);
  if (!disk.mounted()) GTEST_SKIP() << kNeedsRoot;
  write_data();
  const auto before = snapshot();
  expect_refusal(lighthouse({"train", write_config(), "--set", "run.directory=" + path("disk/run")}),
                 {"a checkpoint takes", path("disk/run"), "100 KiB free", "free some space"});
  auto after = snapshot();
  after.erase("run.yaml");
  EXPECT_EQ(after, before);
}

/// A run of some seconds on a small disk that fills up after its first checkpoint.
class FillingDisk : public Workspace {
 protected:
  FillingDisk() : disk_(at("disk"), 2 << 20) { write_data(); }

  Arguments arguments(const Arguments& more = {}) const {
    Arguments all{
        "train", write_config(),       "--set", "run.directory=" + path("disk/run"), "--set", "stages.0.steps=900",
        "--set", "stages.1.steps=100", "--set", "checkpoint={every: 20, keep: 2}"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  fs::path first_checkpoint() const { return at("disk/run/checkpoints/step-00000020"); }

  /// Starts the run and fills the disk when the first checkpoint exists, after its pruning.
  std::unique_ptr<Process> start_and_fill() const {
    auto run = std::make_unique<Process>(lighthouse_program(), arguments());
    EXPECT_TRUE(wait_until(20s, [&] { return fs::exists(first_checkpoint()) || !run->running(); }));
    disk_.fill();
    return run;
  }

  std::vector<std::string> uninterrupted() const {
    Arguments all = arguments();
    all[3] = "run.directory=" + path("plain");
    expect_done(lighthouse(all));
    return losses_and_norms(at("plain/metrics.jsonl"));
  }

  TinyDisk disk_;
};

TEST_F(FillingDisk, RunContinuesWithAWarningAndFailsAtItsLastSave) {
  if (!disk_.mounted()) GTEST_SKIP() << kNeedsRoot;
  const Outcome outcome = start_and_fill()->wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  for (const char* word :
       {"no checkpoint at step", "No space left on device", "free some space", "Training continues"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
  // Earlier checkpoints are undamaged, and no partial files remain.
  for (const auto& entry : fs::directory_iterator(at("disk/run/checkpoints"))) {
    EXPECT_EQ(entry.path().filename().string().rfind("step-", 0), 0U) << entry.path();
    expect_done(lighthouse({"generate", entry.path().string(), "--max-tokens", "1"}));
  }
  // With free space it resumes, with the same results.
  disk_.free_space();
  expect_done(lighthouse(arguments({"--resume"})));
  EXPECT_EQ(losses_and_norms(at("disk/run/metrics.jsonl")), uninterrupted());
}

TEST_F(FillingDisk, RunRecoversWhenSpaceIsFreed) {
  if (!disk_.mounted()) GTEST_SKIP() << kNeedsRoot;
  const auto run = start_and_fill();
  std::this_thread::sleep_for(100ms);
  disk_.free_space();
  expect_done(run->wait());
  EXPECT_EQ(losses_and_norms(at("disk/run/metrics.jsonl")), uninterrupted());
}

TEST_F(FillingDisk, StoppedBySignalWhileItIsFull) {
  if (!disk_.mounted()) GTEST_SKIP() << kNeedsRoot;
  const auto run = start_and_fill();
  std::this_thread::sleep_for(50ms);
  run->send(SIGTERM);
  const Outcome outcome = run->wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;  // not 143, which means that the last step was saved
  disk_.free_space();
  expect_done(lighthouse(arguments({"--resume"})));
  EXPECT_EQ(losses_and_norms(at("disk/run/metrics.jsonl")), uninterrupted());
}

}  // namespace
}  // namespace lighthouse::test
