// Runs of several processes under mpirun: comparison with runs of one process, and refusals.
#include "ranks.h"

#include <unistd.h>

#include <thread>

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

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

TEST_F(Ranks, LighthouseStepsTrainAsOne) {
  const Arguments settings{"--set", "batch.global_batch_size=4", "--set", "optimizer.learning_rate=0.002"};
  expect_done(train("one", settings));
  expect_done(train_on(2, "two", settings));
  expect_close("one", "two", 1e-5, 1e-3);
}

TEST_F(Ranks, RepeatedRunsHaveTheSameBits) {
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
  // Also a checkpoint of one process.
  fs::copy(run_folder("one"), run_folder("from1"), fs::copy_options::recursive);
  Arguments settings = dense(sharded);
  settings.insert(settings.end(), {"--resume-from", "10"});
  expect_done(train_on(2, "from1", settings));
  expect_close("one", "from1", 1e-5, 1e-5);
}

TEST_F(Ranks, DifferentConfigsAreRefused) {
  const RankCommand first{lighthouse_program(), train_arguments("run", dense())};
  const RankCommand other{lighthouse_program(), train_arguments("run", dense({"--set", "optimizer.beta1=0.5"}))};
  const Outcome outcome = Process(mpirun(), under_mpirun({first, other, other})).wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  for (const char* word : {"ranks 1 and 2", "optimizer.beta1 0.5 instead of 0.9"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
  EXPECT_FALSE(fs::exists(run_folder("run") / "metrics.jsonl"));
}

TEST_F(Ranks, DifferentDataIsRefused) {
  // Each rank has its own folder under the same path, as on hosts with local disks.
  for (const char* folder : {"a", "b"}) fs::create_directories(at(folder));
  write_text(at("a/t.bin"), shard_of_text(sample_text(16000)));
  write_text(at("b/t.bin"), shard_of_text("Not so: " + sample_text(16000)));
  const Arguments relative{"--set", "data.train=t.bin", "--set", "data.validation="};
  const Arguments arguments = train_arguments("run", dense(relative));
  const std::vector<RankCommand> ranks{{lighthouse_program(), arguments, at("a")},
                                       {lighthouse_program(), arguments, at("b")}};
  const Outcome outcome = Process(mpirun(), under_mpirun(ranks)).wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  for (const char* word : {"disagree on the data", "rank 1: t.bin"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
}

TEST_F(Ranks, DifferentProgramsAreRefused) {
  fs::copy_file(lighthouse_program(), at("other"));
  std::ofstream(at("other"), std::ios::app) << "another build";
  const Arguments arguments = train_arguments("run", dense());
  const std::vector<RankCommand> ranks{{lighthouse_program(), arguments}, {path("other"), arguments}};
  const Outcome outcome = Process(mpirun(), under_mpirun(ranks)).wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  for (const char* word : {"disagree on the program", "rank 1: checksum"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
  EXPECT_FALSE(fs::exists(run_folder("run")));
}

TEST_F(Ranks, DifferentCommandsAreRefused) {
  const Arguments train = train_arguments("run", dense());
  Arguments bench = train;
  bench.erase(bench.begin());
  bench.insert(bench.begin(), {"bench", "step"});
  const std::vector<RankCommand> ranks{{lighthouse_program(), train}, {lighthouse_program(), bench}};
  const Outcome outcome = Process(mpirun(), under_mpirun(ranks)).wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("rank 1: bench step instead of train"), std::string::npos) << outcome.err;
}

TEST_F(Ranks, AFolderOfTheSameNameThatIsNotRank0sIsRefused) {
  const Arguments relative = train_arguments("run", dense({"--set", "run.directory=run"}));
  for (const char* host : {"a", "b"}) {  // each with its own disk and an older run on it
    fs::create_directories(at(host) / "run");
    write_text(at(host) / "run" / ".lock", host[0] == 'a' ? "" : "another\n");
  }
  const std::vector<RankCommand> ranks{{lighthouse_program(), relative, at("a")},
                                       {lighthouse_program(), relative, at("b")}};
  const Outcome outcome = Process(mpirun(), under_mpirun(ranks)).wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("rank 1: run is not the folder that rank 0 has created"), std::string::npos)
      << outcome.err;
  EXPECT_FALSE(fs::exists(at("a") / "run" / "metrics.jsonl"));
}

TEST_F(Ranks, ACheckpointThatOneRankCannotReadIsRefusedByAll) {
  expect_done(train_on(2, "run", dense()));
  flip_bit(checkpoint("run", 20) / "optimizer-00002-of-00002.safetensors", 3000);
  const auto before = snapshot();
  Arguments settings = dense();
  settings.insert(settings.end(), {"--set", "stages.0.steps=30", "--resume"});
  const Outcome outcome = train_on(2, "run", settings);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  for (const char* word : {"cannot be used: rank ", "optimizer-00002-of-00002.safetensors"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Ranks, OnCpusWithoutMpiAreRefused) {
  // As torchrun and srun start ranks: processes with environment variables and without MPI.
  const std::string port = std::to_string(20000 + getpid() % 20000);
  for (const bool slurm : {false, true}) {
    std::vector<std::unique_ptr<Process>> ranks;
    for (const char* rank : {"0", "1"}) {
      Arguments all = slurm ? Arguments{"SLURM_STEP_NUM_TASKS=2", std::string("SLURM_PROCID=") + rank,
                                        std::string("SLURM_LOCALID=") + rank, "SLURM_STEP_NODELIST=localhost"}
                            : Arguments{"WORLD_SIZE=2", std::string("RANK=") + rank, std::string("LOCAL_RANK=") + rank};
      all.insert(all.end(), {"MASTER_ADDR=localhost", "MASTER_PORT=" + port, lighthouse_program()});
      const Arguments rest = train_arguments("run", dense({"--set", "run.device=cpu"}));
      all.insert(all.end(), rest.begin(), rest.end());
      ranks.push_back(std::make_unique<Process>("/usr/bin/env", all));
    }
    const Outcome leader = ranks[0]->wait();
    EXPECT_EQ(leader.exit_code, 2) << leader.err;
    EXPECT_NE(leader.err.find("ranks on CPUs need MPI; start them with mpirun"), std::string::npos) << leader.err;
    EXPECT_EQ(ranks[1]->wait().exit_code, 2);
  }
}

/// Starts rank 0 of `size` like torchrun, at a port of its own, in a shell that first runs `first`.
Arguments leader_of(int size, const std::string& first, const Arguments& train) {
  const std::string port = std::to_string(20000 + (getpid() + 7) % 20000);
  Arguments all{"RANK=0",
                "WORLD_SIZE=" + std::to_string(size),
                "LOCAL_RANK=0",
                "MASTER_ADDR=localhost",
                "MASTER_PORT=" + port,
                "/bin/bash",
                "-c",
                first + "exec \"$0\" \"$@\"",
                lighthouse_program()};
  all.insert(all.end(), train.begin(), train.end());
  return all;
}

TEST_F(Ranks, MoreRanksThanRank0MayHaveFilesAreRefused) {
  const Outcome outcome =
      Process("/usr/bin/env", leader_of(1000, "ulimit -n 500; ", train_arguments("run", dense()))).wait();
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("its limit of open files is 500"), std::string::npos) << outcome.err;
}

TEST_F(Ranks, ARankThatWaitsForTheOthersCanBeEnded) {
  // The program raises a soft limit; otherwise rank 0 could not even connect to itself.
  Process run("/usr/bin/env", leader_of(8, "ulimit -Sn 10; ", train_arguments("run", dense())));
  std::this_thread::sleep_for(1s);
  EXPECT_TRUE(run.running());
  run.send(SIGTERM);
  EXPECT_TRUE(wait_until(10s, [&] { return !run.running(); }));
}

TEST_F(Ranks, MoreRanksThanMicroBatchesAreRefused) {
  const Outcome outcome = train_on(3, "run", dense({"--set", "batch.global_batch_size=2"}));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("use at most 2 ranks"), std::string::npos) << outcome.err;
}

/// As job manifests set them.
TEST_F(Ranks, EmptyVariablesAreNotALauncher) {
  write_config();
  expect_done(shell("RANK= WORLD_SIZE= LOCAL_RANK= MASTER_ADDR= MASTER_PORT= OMPI_COMM_WORLD_SIZE= SLURM_PROCID= " +
                    command_of("train run.yaml")));
}

}  // namespace
}  // namespace lighthouse::test
