// Runs of several processes under mpirun.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "workspace.h"

namespace lighthouse::test {

inline std::string mpirun() {
  for (const char* path : {"/usr/bin/mpirun", "/usr/local/bin/mpirun"}) {
    if (std::filesystem::exists(path)) return path;
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
           1);  // seconds before mpirun sends SIGTERM, and again before SIGKILL
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

  /// A rank's program and its working folder; "" for the current one.
  struct RankCommand {
    std::string program;
    Arguments arguments;
    std::filesystem::path folder = {};
  };

  /// mpirun's arguments for ranks that run different programs: each rank is a shell that execs its program. (Programs
  /// separated by ":" crash the mpirun of Open MPI 5 in Debian and Ubuntu, open-mpi/ompi#13303.)
  static Arguments under_mpirun(const std::vector<RankCommand>& ranks) {
    std::string script = "case $OMPI_COMM_WORLD_RANK in\n";
    for (size_t rank = 0; rank < ranks.size(); ++rank) {
      script += std::to_string(rank) + ") ";
      if (!ranks[rank].folder.empty()) script += "cd " + shell_quoted(ranks[rank].folder.string()) + " && ";
      script += "exec " + shell_quoted(ranks[rank].program);
      for (const std::string& argument : ranks[rank].arguments) script += ' ' + shell_quoted(argument);
      script += ";;\n";
    }
    return {"--oversubscribe", "-n", std::to_string(ranks.size()), "/bin/sh", "-c", script + "esac"};
  }
  static std::string shell_quoted(const std::string& text) {
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
  }

  Outcome train_on(int ranks, const std::string& run, const Arguments& settings) const {
    return Process(mpirun(), under_mpirun(ranks, train_arguments(run, settings))).wait();
  }

  std::vector<nlohmann::json> metrics(const std::string& run) const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(run_folder(run) / "metrics.jsonl");
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  /// Compares the losses of each step and validation, within `first` at the first step and `later` after it.
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

/// Runs that take long unless stopped.
class LongRanks : public Ranks {
 protected:
  Arguments endless() const { return dense({"--set", "stages.0.steps=1000000", "--set", "checkpoint.every=5"}); }

  std::unique_ptr<Process> start(int ranks) const {
    Arguments arguments = train_arguments("run", endless());
    auto run = std::make_unique<Process>(mpirun(), under_mpirun(ranks, arguments));
    EXPECT_TRUE(wait_until(std::chrono::seconds(60),
                           [&] { return std::filesystem::exists(checkpoint_folder()) && checkpoints() > 0; }));
    return run;
  }
  std::filesystem::path checkpoint_folder() const { return run_folder("run") / "checkpoints"; }
  int64_t checkpoints() const {
    std::error_code ignored;
    int64_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(checkpoint_folder(), ignored)) {
      if (entry.path().filename().string().rfind("step-", 0) == 0) ++count;
    }
    return count;
  }

  /// A process of this run, found by its config's path and its rank.
  pid_t process_of(int rank) const {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
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
  static std::string read_if_possible(const std::filesystem::path& file) {
    std::ostringstream text;  // operator<< ignores errors if the process ends while being read
    text << std::ifstream(file, std::ios::binary).rdbuf();
    return text.str();
  }

  /// With a million steps the schedule differs, so this checks only that the run loads and continues.
  void expect_goes_on() const {
    Arguments arguments = train_arguments("run", endless());
    arguments.emplace_back("--resume");
    const int64_t before = static_cast<int64_t>(metrics("run").size());
    Process run(mpirun(), under_mpirun(2, arguments));
    EXPECT_TRUE(wait_until(std::chrono::seconds(60),
                           [&] { return static_cast<int64_t>(metrics_lines()) > before + 5 || !run.running(); }));
    EXPECT_TRUE(run.running());
    run.send(SIGTERM);
    run.wait();
  }
  size_t metrics_lines() const {
    const std::string text = read_if_possible(run_folder("run") / "metrics.jsonl");
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

}  // namespace lighthouse::test
