// Runs of several processes under mpirun, compared with runs of one.
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tiny_disk.h"
#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Json = nlohmann::json;

std::string mpirun() {
  for (const char* path : {"/usr/bin/mpirun", "/usr/local/bin/mpirun"}) {
    if (fs::exists(path)) return path;
  }
  return "";
}

class Ranks : public Workspace {
 protected:
  void SetUp() override {
    if (mpirun().empty() || !lighthouse_has_mpi()) GTEST_SKIP() << "no mpirun, or built without MPI";
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_odls_base_sigkill_timeout", "2",
           1);  // it sends SIGTERM after that, and SIGKILL after as long again
    write_data();
  }

  static bool lighthouse_has_mpi() {
#ifdef LIGHTHOUSE_HAS_MPI
    return true;
#else
    return false;
#endif
  }

  /// 20 dense steps of four sequences, in small buckets.
  static Arguments dense(const Arguments& more = {}) {
    Arguments all{"--set", "stages=[{name: d, attention: dense, steps: 20}]",
                  "--set", "batch.global_batch_size=4",
                  "--set", "distributed.bucket=0.004",
                  "--set", "checkpoint={every: 10, keep: 5}",
                  "--set", "optimizer.learning_rate=0.002"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  Arguments under_mpirun(int ranks, const Arguments& arguments) const {
    Arguments all{"--oversubscribe", "-n", std::to_string(ranks), lighthouse_program()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  Outcome train_on(int ranks, const std::string& run, const Arguments& settings) const {
    return Process(mpirun(), under_mpirun(ranks, train_arguments(run, settings))).wait();
  }

  std::vector<Json> metrics(const std::string& run) const {
    std::vector<Json> lines;
    std::ifstream file(run_folder(run) / "metrics.jsonl");
    for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  /// Losses of each step and validation, within `first` at the first step and `later` after it.
  void expect_close(const std::string& a, const std::string& b, double first, double later) const {
    const auto of_a = metrics(a), of_b = metrics(b);
    ASSERT_EQ(of_a.size(), of_b.size()) << a << " and " << b;
    ASSERT_FALSE(of_a.empty());
    for (size_t i = 0; i < of_a.size(); ++i) {
      const char* key = of_a[i].contains("loss") ? "loss" : "validation_loss";
      ASSERT_EQ(of_a[i].at("step"), of_b[i].at("step"));
      EXPECT_NEAR(of_a[i].at(key), of_b[i].at(key), i == 0 ? first : later) << b << ' ' << of_a[i].dump();
    }
  }

  std::string weights(const std::string& run, int64_t step) const {
    return read_text(checkpoint(run, step) / "model.safetensors");
  }
};

TEST_F(Ranks, TwoAndFourTrainAsOne) {
  expect_done(train("one", dense()));
  for (const int ranks : {1, 2, 4}) {
    const std::string run = "ranks" + std::to_string(ranks);
    expect_done(train_on(ranks, run, dense({"--set", "distributed.backend=mpi"})));
    expect_close("one", run, 1e-5, 1e-5);
  }
}

TEST_F(Ranks, UnevenSharesAreWeightedByTokens) {
  expect_done(train("one", dense()));
  expect_done(train_on(3, "three", dense()));
  expect_close("one", "three", 1e-5, 1e-5);
}

TEST_F(Ranks, LighthouseStepsToo) {
  const Arguments settings{"--set", "batch.global_batch_size=4", "--set", "optimizer.learning_rate=0.002"};
  expect_done(train("one", settings));
  expect_done(train_on(2, "two", settings));
  expect_close("one", "two", 1e-5, 1e-3);
}

TEST_F(Ranks, RepetitionsHaveTheSameBits) {
  for (const char* run : {"a", "b"}) expect_done(train_on(3, run, dense()));
  EXPECT_EQ(losses_and_norms(run_folder("a") / "metrics.jsonl"), losses_and_norms(run_folder("b") / "metrics.jsonl"));
  EXPECT_TRUE(weights("a", 20) == weights("b", 20));
}

TEST_F(Ranks, ShardedStateTrainsAsWholeState) {
  expect_done(train_on(4, "plain", dense()));
  expect_done(train_on(4, "sharded", dense({"--set", "distributed.shard_optimizer=true"})));
  expect_close("plain", "sharded", 1e-6, 1e-6);
}

TEST_F(Ranks, CheckpointsResumeOnAnyNumberOfRanks) {
  const Arguments sharded{"--set", "distributed.shard_optimizer=true"};
  expect_done(train("one", dense()));
  expect_done(train_on(4, "four", dense(sharded)));
  EXPECT_TRUE(fs::exists(checkpoint("four", 10) / "optimizer-00004-of-00004.safetensors"));
  for (const int ranks : {2, 1, 3}) {
    const std::string run = "from4on" + std::to_string(ranks);
    fs::copy(run_folder("four"), run_folder(run), fs::copy_options::recursive);
    Arguments settings = dense(ranks == 3 ? sharded : Arguments());
    settings.insert(settings.end(), {"--resume-from", "10"});
    expect_done(ranks == 1 ? train(run, settings) : train_on(ranks, run, settings));
    expect_close("one", run, 1e-5, 1e-5);
  }
  // And what one process wrote.
  fs::copy(run_folder("one"), run_folder("from1"), fs::copy_options::recursive);
  Arguments settings = dense(sharded);
  settings.insert(settings.end(), {"--resume-from", "10"});
  expect_done(train_on(2, "from1", settings));
  expect_close("one", "from1", 1e-5, 1e-5);
}

TEST_F(Ranks, DifferentConfigsAreRefused) {
  Arguments arguments = under_mpirun(1, train_arguments("run", dense()));
  const Arguments other = train_arguments("run", dense({"--set", "optimizer.beta1=0.5"}));
  arguments.insert(arguments.end(), {":", "-n", "2", lighthouse_program()});
  arguments.insert(arguments.end(), other.begin(), other.end());
  const Outcome outcome = Process(mpirun(), arguments).wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  for (const char* word : {"ranks 1 and 2", "optimizer.beta1 0.5 instead of 0.9"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
  EXPECT_FALSE(fs::exists(run_folder("run") / "metrics.jsonl"));
}

TEST_F(Ranks, DifferentDataIsRefused) {
  // Each rank has a folder of its own under the same name, as hosts with local disks do.
  for (const char* folder : {"a", "b"}) fs::create_directories(at(folder));
  write_text(at("a/t.bin"), shard_of_text(sample_text(16000)));
  write_text(at("b/t.bin"), shard_of_text("Not so: " + sample_text(16000)));
  const Arguments relative{"--set", "data.train=t.bin", "--set", "data.validation="};
  Arguments arguments{"--oversubscribe"};
  for (const char* folder : {"a", "b"}) {
    if (arguments.size() > 1) arguments.emplace_back(":");
    arguments.insert(arguments.end(), {"-n", "1", "-wdir", path(folder), lighthouse_program()});
    const Arguments rest = train_arguments("run", dense(relative));
    arguments.insert(arguments.end(), rest.begin(), rest.end());
  }
  const Outcome outcome = Process(mpirun(), arguments).wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  for (const char* word : {"not the same data", "rank 1: t.bin"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
}

TEST_F(Ranks, MoreRanksThanMicroBatchesAreRefused) {
  const Outcome outcome = train_on(3, "run", dense({"--set", "batch.global_batch_size=2"}));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("use at most 2 ranks"), std::string::npos) << outcome.err;
}

/// Runs that would go on for long.
class LongRanks : public Ranks {
 protected:
  Arguments endless() const { return dense({"--set", "stages.0.steps=1000000", "--set", "checkpoint.every=5"}); }

  std::unique_ptr<Process> start(int ranks) const {
    Arguments arguments = train_arguments("run", endless());
    auto run = std::make_unique<Process>(mpirun(), under_mpirun(ranks, arguments));
    EXPECT_TRUE(wait_until(60s, [&] { return fs::exists(checkpoint_folder()) && checkpoints() > 0; }));
    return run;
  }
  fs::path checkpoint_folder() const { return run_folder("run") / "checkpoints"; }
  int64_t checkpoints() const {
    std::error_code ignored;
    int64_t count = 0;
    for (const auto& entry : fs::directory_iterator(checkpoint_folder(), ignored)) {
      if (entry.path().filename().string().rfind("step-", 0) == 0) ++count;
    }
    return count;
  }

  /// A process of this run, by its config's path and its rank.
  pid_t process_of(int rank) const {
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string command = read_if_possible(entry.path() / "cmdline");
      if (command.rfind(lighthouse_program(), 0) != 0 || command.find(path("run.yaml")) == std::string::npos) continue;
      const std::string environment = read_if_possible(entry.path() / "environ");
      const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + std::string(1, '\0');
      if (environment.find(wanted) != std::string::npos) return std::stoi(name);
    }
    return -1;
  }
  static std::string read_if_possible(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  /// With a million steps the schedule differs, so what is compared is that it loads and goes on.
  void expect_goes_on() const {
    Arguments arguments = train_arguments("run", endless());
    arguments.emplace_back("--resume");
    const int64_t before = static_cast<int64_t>(metrics("run").size());
    Process run(mpirun(), under_mpirun(2, arguments));
    EXPECT_TRUE(wait_until(60s, [&] { return static_cast<int64_t>(metrics_lines()) > before + 5 || !run.running(); }));
    EXPECT_TRUE(run.running());
    run.send(SIGTERM);
    run.wait();
  }
  size_t metrics_lines() const {
    const std::string text = read_if_possible(run_folder("run") / "metrics.jsonl");
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

TEST_F(LongRanks, AKilledRankStopsTheOthersAndIsNamed) {
  for (const int victim : {0, 2}) {
    const auto run = start(3);
    const pid_t process = process_of(victim);
    ASSERT_GT(process, 1);
    const auto begin = std::chrono::steady_clock::now();
    kill(process, SIGKILL);
    const Outcome outcome = run->wait();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
    EXPECT_NE(outcome.exit_code, 0);
    for (const std::string& word : std::vector<std::string>{"rank " + std::to_string(victim), "is gone", "waiting"}) {
      EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
    }
    expect_goes_on();
    fs::remove_all(run_folder("run"));
  }
}

TEST_F(LongRanks, AFrozenRankIsGoneToo) {
  Arguments settings = endless();
  settings.insert(settings.end(), {"--set", "distributed.timeout_seconds=1"});
  Process run(mpirun(), under_mpirun(2, train_arguments("run", settings)));
  ASSERT_TRUE(wait_until(60s, [&] { return checkpoints() > 0; }));
  const pid_t process = process_of(1);
  ASSERT_GT(process, 1);
  kill(process, SIGSTOP);
  const Outcome outcome = run.wait();  // mpirun continues and ends it
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_NE(outcome.err.find("nothing was heard of it"), std::string::npos) << outcome.err;
}

class StoppedRanks : public LongRanks, public ::testing::WithParamInterface<int> {};

/// SIGUSR1 is what mpirun passes on at once.
INSTANTIATE_TEST_SUITE_P(By, StoppedRanks, ::testing::Values(SIGTERM, SIGUSR1));

TEST_P(StoppedRanks, SaveTheirLastStepOnce) {
  const auto run = start(3);
  run->send(GetParam());
  const Outcome outcome = run->wait();
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_NE(outcome.err.find("all ranks have finished the step in progress"), std::string::npos) << outcome.err;
  int64_t last = 0;
  for (const Json& line : metrics("run")) last = std::max(last, line.at("step").get<int64_t>());
  EXPECT_TRUE(fs::exists(checkpoint("run", last) / "state.json")) << last;
  expect_goes_on();
}

TEST_F(LongRanks, AFullDiskCostsACheckpointAndNotTheRun) {
  const TinyDisk disk(at("runs"), 4 << 20);
  if (!disk.mounted()) GTEST_SKIP() << "a small disk can be mounted by root only";
  const auto run = start(2);
  disk.fill();
  const size_t lines = metrics_lines();
  std::this_thread::sleep_for(1500ms);
  disk.free_space();
  EXPECT_TRUE(wait_until(30s, [&] { return metrics_lines() > lines + 5 || !run->running(); }));
  EXPECT_TRUE(run->running()) << "the run goes on";
  run->send(SIGTERM);
  const Outcome outcome = run->wait();
  for (const char* word : {"no checkpoint at step", "No space left on device", "Training goes on"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
  expect_goes_on();
}

}  // namespace
}  // namespace lighthouse::test
