// Resuming a run: from any step, after damage, with another config, and in folders that contain a run.
#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class Resume : public Workspace {
 protected:
  Resume() { write_data(); }

  /// Trains to the end; checkpoints 4, 6, 8 and 10 remain.
  std::vector<std::string> train_whole(const std::string& run, const Arguments& more = {}) const {
    expect_done(train(run, more));
    return losses_and_norms(metrics(run));
  }
  fs::path metrics(const std::string& run) const { return run_folder(run) / "metrics.jsonl"; }

  /// Expects refusal and unchanged files.
  void expect_refused(const Arguments& more, const std::vector<std::string>& words) const {
    const auto before = snapshot();
    expect_refusal(train("run", more), words);
    EXPECT_EQ(snapshot(), before);
  }
};

TEST_F(Resume, FromEveryStepGivesTheUninterruptedRun) {
  const Arguments often{"--set", "checkpoint={every: 1, keep: 20}"};
  const std::vector<std::string> expected = train_whole("run", often);
  ASSERT_EQ(expected.size(), 13U);
  for (int step = 1; step <= 10; ++step) {
    const std::string copy = "from-" + std::to_string(step);
    fs::copy(run_folder("run"), run_folder(copy), fs::copy_options::recursive);
    expect_done(train(copy, {often[0], often[1], "--resume-from", std::to_string(step)}));
    EXPECT_EQ(losses_and_norms(metrics(copy)), expected) << copy;
    EXPECT_EQ(fs::exists(run_folder(copy) / "metrics.discarded.jsonl"), step < 10) << copy;
  }
}

TEST_F(Resume, MovesLaterLinesToTheDiscarded) {
  train_whole("run");
  const std::string before = read_text(metrics("run"));
  expect_done(train("run", {"--resume-from", "6"}));
  const size_t kept = before.find("{\"step\":7");
  ASSERT_NE(kept, std::string::npos);
  EXPECT_EQ(read_text(metrics("run")).substr(0, kept), before.substr(0, kept));
  EXPECT_EQ(read_text(run_folder("run") / "metrics.discarded.jsonl"), before.substr(kept));
}

TEST_F(Resume, AMovedRunIsNotRestartedSilently) {
  train_whole("old");
  fs::rename(run_folder("old"), run_folder("new"));
  const std::string config = (run_folder("new") / "config.yaml").string();
  const Outcome anew = lighthouse({"train", config, "--set", "stages.1.steps=5", "--resume"});
  expect_done(anew);
  for (const std::string& words : {run_folder("old").string(), std::string("has no checkpoints"), std::string("step 0"),
                                   "--set run.directory=" + run_folder("new").string()}) {
    EXPECT_NE(anew.err.find(words), std::string::npos) << words << " in\n" << anew.err;
  }
  const Outcome further = lighthouse({"train", config, "--set", "stages.1.steps=5", "--resume", "--set",
                                      "run.directory=" + run_folder("new").string()});
  expect_done(further);
  EXPECT_NE(further.err.find("continuing from"), std::string::npos) << further.err;
  EXPECT_EQ(further.err.find("another run"), std::string::npos) << further.err;
}

TEST_F(Resume, RunUntilDonePassesOverADamagedCheckpoint) {
  train_whole("run");
  flip_bit(checkpoint("run", 10) / "model.safetensors", 5000);
  expect_refusal(train("run", {"--resume"}), {"--resume-whole", "model.safetensors"});
  Arguments arguments{LIGHTHOUSE_SOURCE_DIR "/scripts/run_until_done.sh", lighthouse_program()};
  for (const std::string& argument : train_arguments("run", {"--resume"})) arguments.push_back(argument);
  const Outcome outcome = Process("/bin/bash", arguments).wait();
  expect_done(outcome);
  EXPECT_NE(outcome.err.find("passing over"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::exists(run_folder("run") / "checkpoints/discarded-1-step-00000010"));
}

TEST_F(Resume, StartsAgainWithoutACheckpoint) {
  expect_done(train("run", {"--resume"}));
  EXPECT_EQ(losses_and_norms(metrics("run")), train_whole("plain"));
  // A run killed before its first checkpoint.
  fs::remove_all(run_folder("run") / "checkpoints");
  expect_done(train("run", {"--resume"}));
  EXPECT_EQ(losses_and_norms(metrics("run")), losses_and_norms(metrics("plain")));
}

TEST_F(Resume, OfAFinishedRunChangesNothing) {
  const std::vector<std::string> expected = train_whole("run");
  expect_done(train("run", {"--resume"}));
  EXPECT_EQ(losses_and_norms(metrics("run")), expected);
}

TEST_F(Resume, LongerLastStageContinuesAFinishedRun) {
  const Arguments constant{"--set", "schedule={warmup_steps: 2, decay: constant}"};
  train_whole("run", constant);
  Arguments longer = constant;
  longer.insert(longer.end(), {"--set", "stages.1.steps=7"});
  const std::vector<std::string> expected = train_whole("plain", longer);
  longer.emplace_back("--resume");
  expect_done(train("run", longer));
  EXPECT_EQ(losses_and_norms(metrics("run")), expected);  // both validate step 10
}

TEST_F(Resume, AFolderWithARunIsRefused) {
  train_whole("run");
  expect_refused({}, {run_folder("run").string(), "contains a run already", "--resume", "run.directory"});
}

TEST_F(Resume, StepWithoutACheckpoint) {
  train_whole("run");
  expect_refused({"--resume-from", "5"}, {"no checkpoint of step 5", "4, 6, 8, 10"});
  expect_refused({"--resume-from=-1"}, {"no checkpoint of step -1", "4, 6, 8, 10"});
  expect_refusal(train("none", {"--resume-from", "5"}), {"no checkpoint of step 5", "it has none"});
}

TEST_F(Resume, WithAnotherConfigNamesTheKeysThatDiffer) {
  train_whole("run");
  expect_refused(
      {"--resume", "--set", "optimizer.learning_rate=0.5", "--set", "run.seed=4", "--set", "evaluation.every=1"},
      {"optimizer.learning_rate: 0.01 in the checkpoint, 0.5 now", "run.seed: 3 in the checkpoint, 4 now",
       "These may change:", "evaluation.*", "run.branch_from"});
  expect_refused({"--resume", "--set", "model.hidden_size=32"}, {"model.hidden_size: 16 in the checkpoint, 32 now"});
  expect_refused({"--resume", "--set", "batch.sequence_length=64"}, {"sequence_length: 128 in the checkpoint, 64 now"});
  expect_refused({"--resume", "--set", "stages.0.steps=7"}, {"stages.0.steps: 6 in the checkpoint, 7 now"});
  expect_refused({"--resume", "--set", "attention.lighthouse.top_k=4"},
                 {"attention.lighthouse.top_k: 8 in the checkpoint, 4 now"});
}

TEST_F(Resume, MayChangeSettingsThatFinishedStepsDoNotUse) {
  const std::vector<std::string> expected = train_whole("run");
  expect_done(train("run", {"--resume-from", "8", "--set", "checkpoint.every=1", "--set", "run.name=other", "--set",
                            "hardware.peak_tflops=1"}));
  EXPECT_EQ(losses_and_norms(metrics("run")), expected);
}

TEST_F(Resume, FlippedBitInTheNewestCheckpoint) {
  const std::vector<std::string> expected = train_whole("run");
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    const fs::path file = checkpoint("run", 10) / name;
    const std::string sound = read_text(file);
    for (const size_t byte : {size_t{3}, sound.size() / 3, sound.size() / 2, sound.size() - 3}) {
      SCOPED_TRACE(testing::Message() << name << " byte " << byte);
      flip_bit(file, byte);
      expect_refused({"--resume"}, {file.string(), "damaged", "--resume-from", "4, 6, 8"});
      expect_refused({"--resume-from", "10"}, {file.string(), "damaged"});
      expect_refusal(lighthouse({"generate", run_folder("run").string()}), {file.string(), "damaged"});
      write_text(file, sound);
    }
  }
  flip_bit(checkpoint("run", 10) / "model.safetensors", 5000);
  expect_done(train("run", {"--resume-from", "8"}));
  EXPECT_EQ(losses_and_norms(metrics("run")), expected);
  // The damaged checkpoint is kept for inspection.
  EXPECT_TRUE(fs::exists(run_folder("run") / "checkpoints/discarded-1-step-00000010"));
}

TEST_F(Resume, AnyBitOfTheStateFile) {
  train_whole("run");
  const fs::path file = checkpoint("run", 10) / "state.json";
  const std::string sound = read_text(file);
  for (size_t byte = 0; byte + 1 < sound.size(); byte += sound.size() / 60) {
    std::string bytes = sound;
    bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << (byte % 8)));
    write_text(file, bytes);
    SCOPED_TRACE(testing::Message() << "byte " << byte);
    expect_refusal(train("run", {"--resume"}), {file.string(), "--resume-from"});
  }
}

TEST_F(Resume, FileMissingFromTheNewestCheckpoint) {
  const std::vector<std::string> expected = train_whole("run");
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    const fs::path file = checkpoint("run", 10) / name;
    const std::string sound = read_text(file);
    fs::remove(file);
    expect_refused({"--resume"}, {file.string(), "--resume-from", "4, 6, 8"});
    write_text(file, sound.substr(0, sound.size() / 2));
    expect_refused({"--resume"}, {file.string(), "damaged", "--resume-from"});
    write_text(file, "");
    expect_refused({"--resume"}, {file.string(), "damaged", "--resume-from"});
    write_text(file, sound);
  }
  fs::remove(checkpoint("run", 10) / "model.safetensors");
  expect_done(train("run", {"--resume-from", "6"}));
  EXPECT_EQ(losses_and_norms(metrics("run")), expected);
}

TEST_F(Resume, ASecondProcessInTheFolderIsRefused) {
  const Arguments longer{"--set", "stages.0.steps=100000", "--set", "evaluation.every=0"};
  Process first(lighthouse_program(), train_arguments("run", longer));
  ASSERT_TRUE(wait_until(20s, [&] { return fs::exists(metrics("run")); }));
  expect_refusal(train("run", longer), {"another process is training in", run_folder("run").string(), "run.directory"});
  expect_refusal(train("run", {"--resume"}), {"another process is training in"});
}

}  // namespace
}  // namespace lighthouse::test
