// Which checkpoint a run goes on from, and what becomes of what came after it.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "tiny_run.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

class ResumeFrom : public testing::Test {
 protected:
  ResumeFrom() : config_(tiny_run(folder_)) { train(config_); }

  int64_t set_aside() const {
    int64_t count = 0;
    for (const auto& entry : fs::directory_iterator(in_run(config_, "checkpoints"))) {
      count += entry.path().filename().string().rfind("discarded-", 0) == 0;
    }
    return count;
  }

  TemporaryFolder folder_;
  RunConfig config_;
};

TEST_F(ResumeFrom, LaterLinesAndCheckpointsAreSetAside) {
  const std::vector<std::string> curve = curve_of(config_);
  const std::vector<std::string> lines = lines_of(in_run(config_, "metrics.jsonl"));
  Recorder recorder;
  recorder.on_start = [&] {
    // Three steps and the validation of step 2 stay.
    EXPECT_EQ(lines_of(in_run(config_, "metrics.jsonl")), std::vector<std::string>(lines.begin(), lines.begin() + 4));
    EXPECT_EQ(lines_of(in_run(config_, "metrics.discarded.jsonl")),
              std::vector<std::string>(lines.begin() + 4, lines.end()));
    EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{3}));
    EXPECT_EQ(set_aside(), 3);
  };
  train(config_, recorder, resuming_from(3));
  EXPECT_EQ(recorder.first, 3);
  EXPECT_EQ(curve_of(config_), curve);
  EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{3, 5, 6, 9}));

  train(config_, resuming_from(6));  // and once more: nothing that was set aside is lost
  EXPECT_EQ(set_aside(), 4);
  EXPECT_GT(lines_of(in_run(config_, "metrics.discarded.jsonl")).size(), lines.size() - 4);
  EXPECT_EQ(curve_of(config_), curve);
}

TEST_F(ResumeFrom, AStepWithoutCheckpointIsRefused) {
  const std::string message = refusal([&] { train(config_, resuming_from(4)); });
  EXPECT_TRUE(contains(message, "no checkpoint of step 4")) << message;
  EXPECT_TRUE(contains(message, "3, 5, 6, 9")) << message;
}

TEST_F(ResumeFrom, ADamagedNewestIsNamedAndAnotherWorks) {
  const std::string metrics = read_file(in_run(config_, "metrics.jsonl"));
  flip_bit(checkpoint_of(config_, 9) / "optimizer.safetensors", 5000, 3);
  const std::string message = refusal([&] { train(config_, resuming()); });
  EXPECT_TRUE(contains(message, "--resume-from")) << message;
  EXPECT_TRUE(contains(message, "optimizer.safetensors")) << message;
  EXPECT_TRUE(contains(message, "3, 5, 6")) << message;
  EXPECT_EQ(read_file(in_run(config_, "metrics.jsonl")), metrics);
  EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{3, 5, 6, 9}));

  EXPECT_TRUE(contains(refusal([&] { train(config_, resuming_from(9)); }), "optimizer.safetensors"));
  Recorder recorder;
  train(config_, recorder, resuming_from(6));
  EXPECT_EQ(recorder.steps.size(), 3U);
  EXPECT_NO_THROW(verify_checkpoint(checkpoint_of(config_, 9)));
}

StartOptions resuming_whole() {
  StartOptions start;
  start.resume_whole = true;
  return start;
}

TEST_F(ResumeFrom, DamagedOnesArePassedOverKeptAndNamed) {
  const std::vector<std::string> curve = curve_of(config_);
  flip_bit(checkpoint_of(config_, 9) / "optimizer.safetensors", 5000, 3);
  fs::remove(checkpoint_of(config_, 6) / "state.json");
  const std::string damaged = read_file(checkpoint_of(config_, 9) / "optimizer.safetensors");
  Recorder recorder;
  train(config_, recorder, resuming_whole());
  EXPECT_EQ(recorder.first, 5);
  ASSERT_EQ(recorder.warnings.size(), 2U);
  EXPECT_TRUE(contains(recorder.warnings[0], "step-00000009") && contains(recorder.warnings[0], "checksum"))
      << recorder.warnings[0];
  EXPECT_TRUE(contains(recorder.warnings[1], "step-00000006") && contains(recorder.warnings[1], "state.json"))
      << recorder.warnings[1];
  EXPECT_EQ(curve_of(config_), curve);
  EXPECT_EQ(set_aside(), 2);
  EXPECT_EQ(read_file(in_run(config_, "checkpoints") / "discarded-1-step-00000009/optimizer.safetensors"), damaged);
}

TEST_F(ResumeFrom, WhereAllAreDamagedNothingStarts) {
  for (const int64_t step : checkpoints_of(config_))
    flip_bit(checkpoint_of(config_, step) / "model.safetensors", 900, 1);
  const std::string metrics = read_file(in_run(config_, "metrics.jsonl"));
  const std::string message = refusal([&] { train(config_, resuming_whole()); });
  for (const char* part : {"no checkpoint in", "step-00000003", "step-00000009"}) {
    EXPECT_TRUE(contains(message, part)) << message;
  }
  EXPECT_EQ(read_file(in_run(config_, "metrics.jsonl")), metrics);
  EXPECT_EQ(checkpoints_of(config_), (std::vector<int64_t>{3, 5, 6, 9}));
}

TEST_F(ResumeFrom, AWholeOneIsVerifiedOnceAndLoadedOnce) {
  const int events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_GE(inotify_add_watch(events, (checkpoint_of(config_, 9) / "model.safetensors").c_str(), IN_OPEN), 0);
  train(config_, resuming());
  std::array<char, 4096> buffer{};
  const ssize_t bytes = read(events, buffer.data(), buffer.size());
  close(events);
  ASSERT_GT(bytes, 0);
  // The system counts what follows the same event at once as one: opening and opening again are never in a row alone.
  EXPECT_LE(bytes / static_cast<ssize_t>(sizeof(inotify_event)), 2);
}

TEST_F(ResumeFrom, AScheduleThatLeapsIsSaid) {
  config_.stages[1].steps += 40;
  Recorder recorder;
  recorder.on_step = raise_at(12);
  EXPECT_THROW(train(config_, recorder, resuming()), Interrupted);
  ASSERT_EQ(recorder.warnings.size(), 1U);
  const std::string& warning = recorder.warnings[0];
  EXPECT_TRUE(contains(warning, fmt::format("from {:.4g} at step 9", 0.5 * 0.02 * 0.1))) << warning;
  EXPECT_TRUE(contains(warning, fmt::format("to {:.4g} at step 10", recorder.steps.at(0).learning_rate))) << warning;
  EXPECT_TRUE(contains(warning, "49 steps instead of 9")) << warning;
  Recorder again;
  again.on_step = raise_at(14);
  EXPECT_THROW(train(config_, again, resuming()), Interrupted);
  EXPECT_TRUE(again.warnings.empty()) << again.warnings[0];
}

TEST_F(ResumeFrom, AConfigInAnotherRunsFolderIsSaid) {
  StartOptions start = resuming();
  start.config = in_run(config_, "config.yaml");
  RunConfig elsewhere = config_;
  elsewhere.run.directory = (folder_ / "elsewhere").string();
  Recorder recorder;
  train(elsewhere, recorder, start);
  ASSERT_EQ(recorder.warnings.size(), 1U);
  EXPECT_TRUE(contains(recorder.warnings[0], "run.directory=" + config_.run.directory)) << recorder.warnings[0];
  ASSERT_FALSE(recorder.notes.empty());
  EXPECT_TRUE(contains(recorder.notes[0], elsewhere.run.directory + "/checkpoints has no checkpoints"))
      << recorder.notes[0];
  Recorder own;
  train(config_, own, start);
  EXPECT_TRUE(own.warnings.empty()) << own.warnings[0];
}

TEST_F(ResumeFrom, WithoutACheckpointItStartsAfresh) {
  const std::vector<std::string> curve = curve_of(config_);
  const std::vector<std::string> lines = lines_of(in_run(config_, "metrics.jsonl"));
  fs::remove_all(in_run(config_, "checkpoints"));
  Recorder recorder;
  train(config_, recorder, resuming());
  EXPECT_EQ(recorder.first, 0);
  EXPECT_EQ(curve_of(config_), curve);
  EXPECT_EQ(lines_of(in_run(config_, "metrics.discarded.jsonl")), lines);

  const RunConfig fresh = tiny_run(folder_, "fresh");
  train(fresh, resuming());
  EXPECT_EQ(curve_of(fresh), curve);
}

TEST_F(ResumeFrom, StartingWhereARunIsIsRefused) {
  const std::string metrics = read_file(in_run(config_, "metrics.jsonl"));
  const std::string message = refusal([&] { train(config_); });
  EXPECT_TRUE(contains(message, "--resume")) << message;
  EXPECT_TRUE(contains(message, config_.run.directory)) << message;
  EXPECT_EQ(read_file(in_run(config_, "metrics.jsonl")), metrics);
}

TEST_F(ResumeFrom, WhatAKilledWriterLeftIsRemoved) {
  const fs::path partial = in_run(config_, "checkpoints") / ".partial-step-00000012";
  fs::create_directories(partial);
  std::ofstream(partial / "model.safetensors") << "half";
  Recorder recorder;
  train(config_, recorder, resuming());
  EXPECT_EQ(recorder.first, 9);
  EXPECT_FALSE(fs::exists(partial));
}

TEST(RunDirectoryLock, ASecondProcessIsRefused) {
  const TemporaryFolder folder;
  auto first = std::make_unique<RunDirectory>(folder / "run");
  const auto another_process = [&] {
    const pid_t child = fork();
    if (child == 0) {
      try {
        const RunDirectory second(folder / "run");
      } catch (const InputError& error) {
        _exit(contains(error.what(), "another process is training") ? 1 : 2);
      }
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(another_process(), 1);
  EXPECT_FALSE(first->holds_a_run()) << "the lock alone is no run";
  first.reset();
  EXPECT_EQ(another_process(), 0);
}

TEST(RunDirectoryLock, AFolderThatCannotBeMadeIsRefused) {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  EXPECT_TRUE(contains(refusal([&] { RunDirectory(folder / "file/run"); }), "file/run"));
}

}  // namespace
}  // namespace lighthouse
