// Reports of unused, doubly used and changed data by plan, data inspect and train.
#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;

class DataOfARun : public Workspace {
 protected:
  DataOfARun() { write_data(); }

  static void expect_says(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words) EXPECT_NE(text.find(word), std::string::npos) << word << " in\n" << text;
  }
};

TEST_F(DataOfARun, IsReportedByPlanInspectAndTrain) {
  write_text(at("data/train-00001.bin"), shard_of_text(sample_text(100)));  // no window of 128
  const Outcome plan = lighthouse({"plan", write_config()});
  expect_done(plan);
  expect_says(plan.out, {"in no window", "16,100", "passes", path("data/train-*.bin")});
  EXPECT_EQ(plan.out.find("More than a tenth"), std::string::npos) << plan.out;
  const Outcome inspected = lighthouse(
      {"data", "inspect", path("data/train-*.bin"), "--sequence-length", "128,20000", "--train-tokens", "32000"});
  expect_done(inspected);
  expect_says(inspected.out, {"tokens in no window", "1 of 2", "2 of 2", "100.0% (!)", "2.02"});
  const Outcome run = train("run");
  expect_done(run);
  expect_says(run.err, {"1 of the files have no window", "the stage makes 0.10 passes over them"});
  EXPECT_EQ(run.err.find("warning"), std::string::npos) << run.err;
}

TEST_F(DataOfARun, ThatIsLargelyUnusedCausesAWarning) {
  for (int i = 1; i < 30; ++i) {
    const std::string name = "data/train-000" + std::to_string(10 + i) + ".bin";
    write_text(at(name), shard_of_text(sample_text(100)));
  }
  const Outcome plan = lighthouse({"plan", write_config()});
  expect_done(plan);
  expect_says(plan.out, {"More than a tenth"});
  const Outcome run = train("run");
  expect_done(run);
  expect_says(run.err, {"warning", "29 of the files have no window"});
}

TEST_F(DataOfARun, ThatIsAlsoValidationDataIsRefused) {
  const Outcome run = train("run", {"--set", "data.train=" + path("data/*.bin")});
  expect_refusal(run, {path("data/val-00000.bin"), "validation data too"});
  EXPECT_FALSE(fs::exists(run_folder("run")));
  const std::string both = "data.train=[" + path("data/train-*.bin") + ", " + path("data/train-0*.bin") + "]";
  expect_refusal(train("run", {"--set", both}), {path("data/train-00000.bin"), "twice"});
  const Outcome plan = lighthouse({"plan", write_config(), "--set", "data.train=" + path("data/*.bin")});
  expect_done(plan);
  expect_says(plan.out, {"validation data too"});
}

TEST_F(DataOfARun, ThatHasChangedIsRefusedOnResume) {
  expect_done(train("run"));
  write_text(at("data/train-00001.bin"), read_text(at("data/val-00000.bin")));
  const Arguments longer{"--set", "stages.1.steps=7", "--resume"};
  const auto before = snapshot();
  expect_refusal(train("run", longer),
                 {"added: " + path("data/train-00001.bin"), "step-00000010", "--accept-changed-data"});
  EXPECT_EQ(snapshot(), before);
  Arguments knowingly = longer;
  knowingly.emplace_back("--accept-changed-data");
  const Outcome run = train("run", knowingly);
  expect_done(run);
  expect_says(run.err, {"has changed since", "added: "});
}

}  // namespace
}  // namespace lighthouse::test
