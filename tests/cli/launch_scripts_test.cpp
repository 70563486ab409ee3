// The scripts that start runs of several processes: refusals, and signals between two starts.
#include <csignal>
#include <cstdlib>
#include <thread>

#include "workspace.h"

namespace lighthouse::test {
namespace {

using namespace std::chrono_literals;

class LaunchScripts : public Workspace {
 protected:
  static Arguments script(const std::string& name, const Arguments& arguments) {
    Arguments all{LIGHTHOUSE_SOURCE_DIR "/scripts/" + name};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  static void expect_refused(const Arguments& call, const std::string& word) {
    const Outcome outcome = Process("/bin/bash", call).wait();
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
    EXPECT_EQ(outcome.err.find("restarting"), std::string::npos) << outcome.err;
  }
};

TEST_F(LaunchScripts, RunUntilDoneRefusesAMissingProgram) {
  expect_refused(script("run_until_done.sh", {"--help"}), "usage");
  expect_refused(script("run_until_done.sh", {path("nothing")}), "is not a program");
  setenv("RESTARTS", "many", 1);
  expect_refused(script("run_until_done.sh", {"true"}), "RESTARTS is many");
  unsetenv("RESTARTS");
}

TEST_F(LaunchScripts, RunUntilDoneStartsNothingAfterASignal) {
  // The command fails at once, so the script mostly waits for its next start.
  Process run("/bin/bash", script("run_until_done.sh", {"/bin/bash", "-c", "echo >>" + path("starts") + "; exit 1"}));
  ASSERT_TRUE(wait_until(20s, [&] { return std::filesystem::exists(at("starts")); }));
  std::this_thread::sleep_for(300ms);
  run.send(SIGTERM);
  const Outcome outcome = run.wait();
  EXPECT_EQ(outcome.exit_code, 143) << outcome.err;
  EXPECT_EQ(read_text(at("starts")), "\n");
}

TEST_F(LaunchScripts, MultiNodeRefusesInvalidHostsAndConfigs) {
  write_text(at("run.yaml"), "");
  expect_refused(script("multi_node.sh", {path("run.yaml")}), "host1:8,host2:8 CONFIG");
  expect_refused(script("multi_node.sh", {"localhost", path("nothing.yaml")}), "is not a file");
  setenv("LIGHTHOUSE", lighthouse_program().c_str(), 1);
  for (const std::string hosts :
       {"localhost:0", "localhost:", "localhost:x", "localhost:-2", "localhost:1.5", "--set"}) {
    expect_refused(script("multi_node.sh", {hosts, path("run.yaml")}), hosts + " is not a host");
  }
  expect_refused(script("multi_node.sh", {",", path("run.yaml")}), "names no host");
  unsetenv("LIGHTHOUSE");
}

}  // namespace
}  // namespace lighthouse::test
