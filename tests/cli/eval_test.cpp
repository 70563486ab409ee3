// `lighthouse eval` on a run's checkpoints.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class Eval : public Workspace {
 protected:
  Eval() {
    write_data();
    expect_done(train("run"));
  }

  Outcome eval(const Arguments& more, const std::string& run = "run") const {
    Arguments arguments{"eval", run_folder(run).string(), "--device", "cpu"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return lighthouse(arguments);
  }
  Json written(const std::string& file) const { return Json::parse(read_text(at("out") / file)); }
};

TEST_F(Eval, AgreesWithTheValidationLossOfTraining) {
  expect_done(eval({"--out", path("out")}));
  const std::string metrics = read_text(run_folder("run") / "metrics.jsonl");
  const Json last = Json::parse(metrics.substr(metrics.rfind('\n', metrics.size() - 2) + 1));
  const Json model = written("loss.json")["models"][0];
  EXPECT_EQ(model["step"], 10);
  EXPECT_EQ(model["windows"], 2);
  EXPECT_NEAR(model["loss"].get<double>(), last["validation_loss_dense"].get<double>(), 1e-6);
}

TEST_F(Eval, UsesTheStagesAttention) {
  const Arguments windows{"--set", "attention.window=9", "--set", "stages.1.attention=window"};
  expect_done(train("windows", windows));
  expect_done(eval({"--attention", "window", "--out", path("out")}, "windows"));
  const std::string metrics = read_text(run_folder("windows") / "metrics.jsonl");
  const Json last = Json::parse(metrics.substr(metrics.rfind('\n', metrics.size() - 2) + 1));
  const double loss = written("loss.json")["models"][0]["loss"];
  EXPECT_NEAR(loss, last["validation_loss"].get<double>(), 1e-6);
  EXPECT_NE(loss, last["validation_loss_dense"].get<double>());
  expect_refusal(eval({"--attention", "window"}), {"attention.window", "not set"});
  expect_refusal(eval({"--attention", "flash"}), {"--attention", "window"});
}

TEST_F(Eval, UsesTheDocumentMaskOfTraining) {
  const std::string text = sample_text(800);
  std::vector<uint16_t> tokens(text.begin(), text.end());
  for (size_t i = 39; i < tokens.size(); i += 40) tokens[i] = 256;
  write_text(at("data/val-00000.bin"), shard_bytes({20240520, 1, 800}, tokens));
  expect_done(train("masked", {"--set", "stages.1.data.document_mask=attention"}));
  expect_done(eval({"--out", path("out")}, "masked"));
  const std::string metrics = read_text(run_folder("masked") / "metrics.jsonl");
  const Json last = Json::parse(metrics.substr(metrics.rfind('\n', metrics.size() - 2) + 1));
  EXPECT_NEAR(written("loss.json")["models"][0]["loss"].get<double>(), last["validation_loss_dense"].get<double>(),
              1e-6);
}

TEST_F(Eval, ReportsLossByPosition) {
  const Outcome outcome = eval({"--ranges", "4", "--windows", "3", "--out", path("out")});
  expect_done(outcome);
  EXPECT_EQ(outcome.err.find("fewer than"), std::string::npos) << outcome.err;
  EXPECT_TRUE(std::regex_search(outcome.out, std::regex("32 to 63 +\\d\\.\\d{4} ±0\\.\\d{4}\n"))) << outcome.out;
  const Json model = written("loss.json")["models"][0];
  double sum = 0;
  for (const Json& range : model["by_position"]) sum += range["loss"].get<double>();
  EXPECT_NEAR(sum / 4, model["loss"].get<double>(), 1e-9);
  const std::string csv = read_text(at("out/loss_by_position.csv"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5) << csv;
}

TEST_F(Eval, AcceptsOtherLengthsDataAndModels) {
  const Outcome outcome =
      eval({checkpoint("run", 6).string(), "--sequence-length", "300", "--data", path("data/train-*.bin")});
  expect_done(outcome);
  for (const char* word : {"tiny, step 10", "tiny, step 6", "64 to 127", "128 to 299"}) {
    EXPECT_NE(outcome.out.find(word), std::string::npos) << word << " in\n" << outcome.out;
  }
  EXPECT_NE(outcome.err.find("trained on sequences of 128 tokens, shorter than the 300 requested"), std::string::npos)
      << outcome.err;
}

TEST_F(Eval, EvaluatesLighthouseAttentionToo) {
  expect_done(eval({"--out", path("out")}));
  const Json dense = written("loss.json")["models"][0];
  expect_done(eval({"--attention", "lighthouse", "--out", path("out")}));
  EXPECT_NE(written("loss.json")["models"][0]["loss"], dense["loss"]);
  EXPECT_EQ(written("loss.json")["attention"], "lighthouse");
}

TEST_F(Eval, TestsRetrieval) {
  const Outcome outcome =
      eval({"--retrieval", "--lengths", "64,100", "--depths", "3", "--trials", "2", "--out", path("out")});
  expect_done(outcome);
  EXPECT_TRUE(std::regex_search(outcome.out, std::regex("length +at 0% +at 50% +at 100% +all"))) << outcome.out;
  EXPECT_TRUE(std::regex_search(outcome.out, std::regex("\n *100 +\\d+% +\\d+% +\\d+% +\\d+%"))) << outcome.out;
  EXPECT_EQ(written("retrieval.json")["models"][0]["cells"].size(), 6U);
}

TEST_F(Eval, TestsCopies) {
  const Arguments test{"--copies", "--passage", "20", "--distances", "24,100", "--windows", "3"};
  Arguments written_out = test;
  written_out.insert(written_out.end(), {"--out", path("out")});
  const Outcome outcome = eval(written_out);
  expect_done(outcome);
  const std::string loss = "\\d\\.\\d{4} ±0\\.\\d{4}";
  EXPECT_TRUE(std::regex_search(outcome.out, std::regex("\n *24 +" + loss + " +" + loss + " +-?" + loss)))
      << outcome.out;
  EXPECT_NE(outcome.out.find("gain, first 10 tokens"), std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.err.find("fewer than"), std::string::npos) << outcome.err;
  const Json json = written("copies.json");
  EXPECT_EQ(json["test"], "copies");
  EXPECT_EQ(json["models"][0]["windows"], 3);
  ASSERT_EQ(json["models"][0]["by_distance"].size(), 2U);
  const Json far = json["models"][0]["by_distance"][1];
  EXPECT_EQ(far["distance"], 100);
  for (const char* part : {"passage", "head", "rest"}) {
    EXPECT_NEAR(far[part]["loss_without_copy"].get<double>() - far[part]["loss_with_copy"].get<double>(),
                far[part]["gain"].get<double>(), 1e-9);
  }
  const std::string csv = read_text(at("out/copies.csv"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 7) << csv;
  EXPECT_EQ(eval(test).out, outcome.out) << "another time";
}

TEST_F(Eval, TestsCopiesOfSeveralModelsInAnyAttentionAndLength) {
  const Outcome outcome = eval({checkpoint("run", 6).string(), "--copies", "--passage", "16", "--distances", "32,150",
                                "--sequence-length", "192", "--attention", "lighthouse"});
  expect_done(outcome);
  EXPECT_TRUE(std::regex_search(outcome.out, std::regex("distance +tiny, step 10 +tiny, step 6"))) << outcome.out;
  EXPECT_NE(outcome.out.find("in lighthouse attention"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.err.find("trained on sequences of 128 tokens, shorter than the 192 requested"), std::string::npos)
      << outcome.err;
}

TEST_F(Eval, RefusesInvalidCopies) {
  const auto before = snapshot();
  expect_refusal(eval({"--copies"}), {"512", "128", "at most 64"});
  expect_refusal(eval({"--copies", "--passage", "20"}), {"128", "1,024", "--distances from 20 to 109"});
  expect_refusal(eval({"--copies", "--passage", "20", "--distances", "24,110"}), {"110", "from 20 to 109"});
  expect_refusal(eval({"--copies", "--passage", "20", "--distances", "19"}), {"19", "overlap", "from 20 to 109"});
  expect_refusal(eval({"--copies", "--passage", "1"}), {"--passage: \"1\" is not a whole number; expected 2 or more"});
  expect_refusal(eval({"--copies", "--distances", "64,1K"}), {"--distances: \"1K\" is not a whole number"});
  expect_refusal(eval({"--copies", "--retrieval"}), {"--copies", "--retrieval"});
  expect_refusal(eval({"--passage", "20"}), {"--passage", "--copies"});
  expect_refusal(eval({"--copies", "--sequence-length", "100000"}), {"100,000", "tokens"});
  expect_refusal(eval({"--copies", "--data", path("nowhere/*.bin"), "--passage", "20", "--distances", "24"}),
                 {"nowhere"});
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Eval, RefusesInvalidOptions) {
  const auto before = snapshot();
  expect_refusal(eval({"--sequence-length", "100000"}), {"100,000", "tokens"});
  expect_refusal(eval({"--data", path("nowhere/*.bin")}), {"nowhere"});
  expect_refusal(eval({"--ranges", "1000"}), {"128 positions into 1000 ranges", "1 to 128"});
  expect_refusal(eval({"--retrieval", "--lengths", "20"}), {"20 tokens", "expected at least"});
  expect_refusal(eval({"--retrieval", "--filler", path("none.txt")}), {"none.txt"});
  expect_refusal(eval({"--attention", "lighthouse", "--sequence-length", "101"}), {"101"});
  expect_refusal(eval({}, "no-run"), {"no-run", "is not a checkpoint"});
  expect_refusal(eval({"--dtype", "bfloat16"}), {"bfloat16", "--dtype float32"});
  expect_refusal(eval({"--windows", "0"}), {"--windows: \"0\" is not a whole number; expected 1 or more"});
  expect_refusal(eval({"--retrieval", "--lengths", "64,1.5"}), {"--lengths: \"1.5\" is not a whole number"});
  EXPECT_EQ(snapshot(), before);
}

}  // namespace
}  // namespace lighthouse::test
