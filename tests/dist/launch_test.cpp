#include "lighthouse/dist/launch.h"

#include <gtest/gtest.h>

#include <map>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

Environment of(const std::map<std::string, std::string>& variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

TEST(LaunchTest, WithoutVariablesIsOneProcess) {
  const Launch launch = detect_launch(of({}));
  EXPECT_EQ(launch.launcher, Launcher::kNone);
  EXPECT_EQ(launch.size, 1);
}

TEST(LaunchTest, OpenMpi) {
  const Launch launch = detect_launch(
      of({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}}));
  EXPECT_EQ(launch.launcher, Launcher::kMpi);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.local_rank, 1);
}

TEST(LaunchTest, OneRankIsNoneUnlessAskedFor) {
  const auto environment = of({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}});
  EXPECT_EQ(detect_launch(environment).launcher, Launcher::kNone);
  EXPECT_EQ(detect_launch(environment, true).launcher, Launcher::kMpi);
}

TEST(LaunchTest, TorchrunUsesItsPortItself) {
  std::map<std::string, std::string> variables{
      {"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node1"}, {"MASTER_PORT", "29500"}};
  Launch launch = detect_launch(of(variables));
  EXPECT_EQ(launch.launcher, Launcher::kTorchrun);
  EXPECT_EQ(launch.address, "node1");
  EXPECT_EQ(launch.port, 29500);
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  launch = detect_launch(of(variables));
  EXPECT_EQ(launch.port, 29501);
}

TEST(LaunchTest, SrunStepsButNotBatchScripts) {
  std::map<std::string, std::string> variables{{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "77"}};
  EXPECT_EQ(detect_launch(of(variables)).launcher, Launcher::kNone) << "a batch script is not a rank";
  variables["SLURM_STEP_NUM_TASKS"] = "4";
  variables["SLURM_STEP_NODELIST"] = "node[08-11]";
  variables["SLURM_LOCALID"] = "0";
  Launch launch = detect_launch(of(variables));
  EXPECT_EQ(launch.launcher, Launcher::kSlurm);
  EXPECT_EQ(launch.address, "node08");
  EXPECT_EQ(launch.port, 20077);
  variables["PMIX_RANK"] = "0";
  launch = detect_launch(of(variables));
  EXPECT_EQ(launch.launcher, Launcher::kMpi);
  EXPECT_EQ(launch.size, 4);
}

TEST(LaunchTest, VariablesThatAreSetButEmptyCountAsNotSet) {
  std::map<std::string, std::string> empty;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE",
                           "OMPI_COMM_WORLD_RANK",
                           "OMPI_COMM_WORLD_LOCAL_RANK",
                           "PMIX_RANK",
                           "PMI_RANK",
                           "PMI_SIZE",
                           "MPI_LOCALRANKID",
                           "RANK",
                           "WORLD_SIZE",
                           "LOCAL_RANK",
                           "MASTER_ADDR",
                           "MASTER_PORT",
                           "TORCHELASTIC_USE_AGENT_STORE",
                           "SLURM_STEP_NUM_TASKS",
                           "SLURM_PROCID",
                           "SLURM_LOCALID",
                           "SLURM_STEP_NODELIST",
                           "SLURM_JOB_ID",
                           "SLURM_STEP_NUM_NODES",
                           "LOCAL_WORLD_SIZE",
                           "OMPI_COMM_WORLD_LOCAL_SIZE",
                           "MPI_LOCALNRANKS",
                           "LIGHTHOUSE_TOKEN"}) {
    empty[name] = "";
  }
  EXPECT_EQ(detect_launch(of(empty), true).launcher, Launcher::kNone);
  const auto launch = [&](const std::map<std::string, std::string>& set) {
    std::map<std::string, std::string> all = set;
    all.insert(empty.begin(), empty.end());
    return detect_launch(of(all));
  };
  EXPECT_EQ(launch({{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "1"}}).rank, 1);
  EXPECT_EQ(launch({{"PMI_SIZE", "2"}, {"PMI_RANK", "1"}}).launcher, Launcher::kMpi);
  EXPECT_EQ(
      launch(
          {{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "here"}, {"MASTER_PORT", "29500"}})
          .launcher,
      Launcher::kTorchrun);
  EXPECT_EQ(
      launch(
          {{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}, {"SLURM_JOB_ID", "1"}, {"SLURM_STEP_NODELIST", "a"}})
          .port,
      20001);
  EXPECT_THROW(launch({{"RANK", "1"}}), InputError);
  EXPECT_THROW(launch({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_PORT", "1"}}), InputError);
}

TEST(LaunchTest, OneHostFollowsFromTheVariables) {
  std::map<std::string, std::string> torchrun{
      {"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "29500"}};
  EXPECT_FALSE(detect_launch(of(torchrun)).one_host);
  torchrun["LOCAL_WORLD_SIZE"] = "2";
  EXPECT_TRUE(detect_launch(of(torchrun)).one_host);
  torchrun["LOCAL_WORLD_SIZE"] = "1";
  EXPECT_FALSE(detect_launch(of(torchrun)).one_host);
  std::map<std::string, std::string> mpi{{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "0"}};
  EXPECT_FALSE(detect_launch(of(mpi)).one_host);
  mpi["OMPI_COMM_WORLD_LOCAL_SIZE"] = "2";
  EXPECT_TRUE(detect_launch(of(mpi)).one_host);
  std::map<std::string, std::string> slurm{{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"},
                                           {"SLURM_JOB_ID", "1"},         {"SLURM_STEP_NODELIST", "a"},
                                           {"SLURM_STEP_NUM_NODES", "1"}, {"LIGHTHOUSE_TOKEN", "secret"}};
  EXPECT_TRUE(detect_launch(of(slurm)).one_host);
  EXPECT_EQ(detect_launch(of(slurm)).token, "secret");
}

TEST(LaunchTest, FirstHosts) {
  EXPECT_EQ(first_host("node7"), "node7");
  EXPECT_EQ(first_host("a1,b2"), "a1");
  EXPECT_EQ(first_host("node[08-11,20],other"), "node08");
  EXPECT_EQ(first_host("gpu[3]"), "gpu3");
  EXPECT_EQ(first_host("rack[1-2]node[03,05-06]-ib,other"), "rack1node03-ib");
}

TEST(LaunchTest, ContradictionsAreRefused) {
  EXPECT_THROW(detect_launch(of({{"OMPI_COMM_WORLD_SIZE", "2"}})), InputError);
  EXPECT_THROW(detect_launch(of({{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_RANK", "2"}})), InputError);
  EXPECT_THROW(detect_launch(of({{"RANK", "x"}, {"WORLD_SIZE", "2"}})), InputError);
  EXPECT_THROW(detect_launch(of({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}})), InputError);
  EXPECT_THROW(detect_launch(of({{"RANK", "1"}})), InputError);
  EXPECT_THROW(detect_launch(of({{"WORLD_SIZE", "2"}})), InputError);
  EXPECT_THROW(detect_launch(of({{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "0"}, {"SLURM_JOB_ID", "1"}})),
               InputError);
}

TEST(LaunchTest, AnImpossibleAddressIsRefused) {
  const auto launch = [](const std::string& address, const std::string& port, const std::string& agent) {
    return detect_launch(of({{"RANK", "0"},
                             {"WORLD_SIZE", "2"},
                             {"LOCAL_RANK", "0"},
                             {"MASTER_ADDR", address},
                             {"MASTER_PORT", port},
                             {"TORCHELASTIC_USE_AGENT_STORE", agent}}));
  };
  EXPECT_EQ(launch("here", "65535", "False").port, 65535);
  EXPECT_THROW(launch("here", "65535", "True"), InputError);
  EXPECT_THROW(launch("here", "0", "False"), InputError);
  EXPECT_THROW(launch("here", "70000", "False"), InputError);
  EXPECT_THROW(launch("", "29500", "False"), InputError);
}

TEST(LaunchTest, HalfOfTorchrunsVariablesInABatchScriptIsIgnored) {
  const auto launch = detect_launch(of({{"WORLD_SIZE", "16"},
                                        {"SLURM_STEP_NUM_TASKS", "2"},
                                        {"SLURM_PROCID", "1"},
                                        {"SLURM_JOB_ID", "1"},
                                        {"SLURM_STEP_NODELIST", "a"}}));
  EXPECT_EQ(launch.launcher, Launcher::kSlurm);
  EXPECT_EQ(launch.size, 2);
  EXPECT_EQ(detect_launch(of({{"WORLD_SIZE", "1"}})).launcher, Launcher::kNone);
}

}  // namespace
}  // namespace lighthouse
