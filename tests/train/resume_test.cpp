// A run that was stopped, at any moment and in any way, ends as if it had not been.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "tiny_run.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

class Resume : public testing::Test {
 protected:
  Resume() : whole_(tiny_run(folder_, "whole")), stopped_(tiny_run(folder_, "stopped")) {
    const auto begin = std::chrono::steady_clock::now();
    train(whole_);
    duration_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  /// Runs until a signal raised by `recorder` stops it.
  void expect_interrupted(Recorder& recorder, const StartOptions& start, int signal = SIGTERM) {
    try {
      train(stopped_, recorder, start);
      ADD_FAILURE() << "not interrupted";
    } catch (const Interrupted& interrupted) {
      EXPECT_EQ(interrupted.signal(), signal);
    }
  }

  void expect_as_uninterrupted() {
    EXPECT_EQ(curve_of(stopped_), curve_of(whole_));
    for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
      EXPECT_TRUE(read_file(checkpoint_of(stopped_, 9) / file) == read_file(checkpoint_of(whole_, 9) / file)) << file;
    }
  }

  TemporaryFolder folder_;
  RunConfig whole_, stopped_;
  double duration_ = 0;  // of the whole run, seconds
};

TEST_F(Resume, TheUninterruptedRunIsWhatItShouldBe) {
  const RunHistory history = read_history(in_run(whole_, "metrics.jsonl"));
  ASSERT_EQ(history.steps.size(), 9U);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(history.steps[i].step, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(history.steps[i].tokens, static_cast<int64_t>(i + 1) * 128);
    EXPECT_EQ(history.steps[i].stage, i < 5 ? "pretrain" : "recovery");
    const bool dense = i >= 5 || i % 2 == 1;
    EXPECT_EQ(history.steps[i].attention, dense ? AttentionKind::kDense : AttentionKind::kLighthouse) << i;
  }
  EXPECT_LT(history.steps.back().loss, history.steps.front().loss);
  std::vector<int64_t> validated;
  for (const ValidationMetrics& m : history.validations) {
    validated.push_back(m.step);
    EXPECT_EQ(m.loss == m.loss_dense, m.step > 5) << "in the stage's own attention";
  }
  EXPECT_EQ(validated, (std::vector<int64_t>{2, 4, 5, 6, 8, 9}));
  EXPECT_EQ(checkpoints_of(whole_), (std::vector<int64_t>{3, 5, 6, 9}));
}

TEST_F(Resume, TheSameConfigGivesTheSameRun) {
  train(stopped_);
  expect_as_uninterrupted();
}

TEST_F(Resume, StoppedAtEveryStep) {
  for (int64_t step = 1; step <= 9; ++step) {
    SCOPED_TRACE(step);
    fs::remove_all(stopped_.run.directory);
    Recorder first;
    first.on_step = raise_at(step, step % 2 == 0 ? SIGTERM : SIGINT);
    expect_interrupted(first, {}, step % 2 == 0 ? SIGTERM : SIGINT);
    EXPECT_EQ(checkpoints_of(stopped_).back(), step) << "the last finished step is saved";
    EXPECT_EQ(first.steps.size(), static_cast<size_t>(step)) << "the step in progress is dropped";
    Recorder second;
    train(stopped_, second, resuming());
    EXPECT_EQ(second.first, step);
    EXPECT_FALSE(fs::exists(in_run(stopped_, "metrics.discarded.jsonl")));
    expect_as_uninterrupted();
  }
}

TEST_F(Resume, StoppedAfterEachStepOfOneRun) {
  for (int64_t step = 1; step <= 9; ++step) {
    Recorder recorder;
    recorder.on_step = raise_at(step);
    expect_interrupted(recorder, resuming());
  }
  train(stopped_, resuming());
  expect_as_uninterrupted();
}

TEST_F(Resume, SignalBetweenBackwardAndOptimizer) {
  Recorder recorder;
  const auto hook = [step = 0](const Parameters&) mutable {
    if (++step == 4) std::raise(SIGTERM);
  };
  EXPECT_THROW(train(stopped_, recorder, {}, hook), Interrupted);
  EXPECT_EQ(checkpoints_of(stopped_).back(), static_cast<int64_t>(recorder.steps.size()));
  train(stopped_, resuming());
  expect_as_uninterrupted();
}

/// Sends a signal from another thread after a while.
class LaterSignal {
 public:
  explicit LaterSignal(double seconds)
      : thread_([seconds, process = getpid()] {
          std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
          kill(process, SIGTERM);
        }) {}
  ~LaterSignal() { thread_.join(); }

 private:
  std::thread thread_;
};

TEST_F(Resume, SignalAtAnyMoment) {
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(round);
    fs::remove_all(stopped_.run.directory);
    bool finished = false;
    for (int attempt = 1; !finished; ++attempt) {  // each waits longer, so that it gets further
      const auto backend = make_cpu_backend();
      Recorder recorder;
      Trainer trainer(stopped_, resuming(), *backend, recorder);
      const LaterSignal signal(duration_ * attempt * (round + 1) / 13);
      try {
        trainer.run();
        finished = true;
      } catch (const Interrupted&) {
      }
    }
    expect_as_uninterrupted();
  }
}

TEST_F(Resume, KilledAtAnyMoment) {
  stopped_.checkpoint.every = 1;  // most of the time goes into writing checkpoints
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    SCOPED_TRACE(round);
    const pid_t child = fork();
    if (child == 0) {
      try {
        train(stopped_, resuming());
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(duration_ * std::uniform_real_distribution<>()(random)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "resuming failed";
    const auto entries = list_checkpoints(in_run(stopped_, "checkpoints"));
    if (entries.empty()) continue;
    EXPECT_NO_THROW(verify_checkpoint(entries.back().path));
    if (entries.back().step < 9) continue;
    train(stopped_, resuming());
    expect_as_uninterrupted();
    fs::remove_all(stopped_.run.directory);
  }
  train(stopped_, resuming());
  expect_as_uninterrupted();
}

TEST_F(Resume, ValidationThatWasDueIsMadeOnce) {
  const auto validations_at_four = [&] {
    int count = 0;
    for (const auto& m : read_history(in_run(stopped_, "metrics.jsonl")).validations) count += m.step == 4;
    return count;
  };
  Recorder first;
  first.on_step = raise_at(4);
  expect_interrupted(first, {});
  EXPECT_TRUE(load_state(checkpoint_of(stopped_, 4)).evaluation_pending);
  EXPECT_EQ(validations_at_four(), 0);

  Recorder second;
  second.on_start = [] { std::raise(SIGTERM); };
  expect_interrupted(second, resuming());
  EXPECT_EQ(validations_at_four(), 0);

  Recorder third;
  third.on_validated = raise_at(4);
  expect_interrupted(third, resuming());
  EXPECT_EQ(validations_at_four(), 1);

  train(stopped_, resuming());
  EXPECT_EQ(validations_at_four(), 1);
  expect_as_uninterrupted();
}

TEST_F(Resume, AFinishedRunHasNothingToDo) {
  train(stopped_);
  const std::string metrics = read_file(in_run(stopped_, "metrics.jsonl"));
  Recorder again;
  train(stopped_, again, resuming());
  EXPECT_TRUE(again.steps.empty());
  EXPECT_EQ(read_file(in_run(stopped_, "metrics.jsonl")), metrics);
}

TEST_F(Resume, SeveralSourcesKeepTheirPlaces) {
  write_shard(folder_ / "more.bin", random_tokens(7 * 64 + 1, 257, 3));
  for (RunConfig* config : {&whole_, &stopped_}) {
    config->data.train.push_back({(folder_ / "more.bin").string(), 0.6});
    resolve_stages(*config);
    fs::remove_all(config->run.directory);
  }
  train(whole_);
  Recorder recorder;
  recorder.on_step = raise_at(7);
  expect_interrupted(recorder, {});
  train(stopped_, resuming());
  expect_as_uninterrupted();
}

}  // namespace
}  // namespace lighthouse
