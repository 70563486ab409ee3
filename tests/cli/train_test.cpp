// From text to a trained model, and a run's files.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::vector<Json> lines_of(const fs::path& metrics) {
  std::vector<Json> lines;
  std::istringstream text(read_text(metrics));
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::vector<Json> steps_of(const fs::path& metrics) {
  std::vector<Json> steps = lines_of(metrics);
  std::erase_if(steps, [](const Json& line) { return line.contains("validation_loss"); });
  return steps;
}

class Train : public Workspace {
 protected:
  Train() { write_data(); }
  fs::path metrics(const std::string& run) const { return run_folder(run) / "metrics.jsonl"; }
};

TEST_F(Workspace, FromTextToComparedRuns) {
  write_text(at("text.txt"), sample_text(20000));
  expect_done(lighthouse({"prepare", "--out", path("data"), "--validation-share", "0.2", path("text.txt")}));
  expect_done(train("light", {"--set", "run.name=light"}));
  expect_done(train("full", {"--set", "run.name=full", "--set", "stages=[{name: all, attention: dense, steps: 10}]"}));

  const Outcome compared =
      lighthouse({"compare", run_folder("light").string(), run_folder("full").string(), "--bigram"});
  expect_done(compared);
  for (const char* title : {"At the end", "At equal tokens", "At equal time", "Stages", "Switches", "bigram"}) {
    EXPECT_NE(compared.out.find(title), std::string::npos) << title << " in\n" << compared.out;
  }
  for (const char* row : {"\nlight +10 +2,560 ", "\n *full +10 +2,560 ", "light +sparse +lighthouse +6 ",
                          "light +recovery +dense +4 ", "full +all +dense +10 ", "light +sparse +recovery +6 "}) {
    EXPECT_TRUE(std::regex_search(compared.out, std::regex(row))) << row << " in\n" << compared.out;
  }

  const Outcome text = lighthouse({"generate", run_folder("light").string(), "--prompt", "the ", "--max-tokens", "9"});
  expect_done(text);
  EXPECT_EQ(text.out.rfind("the ", 0), 0U) << text.out;
  EXPECT_GT(text.out.size(), 5U);
}

TEST_F(Train, WritesAllFilesOfARun) {
  expect_done(train("run"));
  const std::vector<Json> lines = lines_of(metrics("run"));
  ASSERT_EQ(lines.size(), 13U);  // ten steps; validation at 5, 6 (end of stage) and 10 (both)
  for (const Json& line : lines) {
    const bool validation = line.contains("validation_loss");
    const std::vector<std::string> keys =
        validation
            ? std::vector<std::string>{"step", "stage", "tokens", "seconds", "validation_loss", "validation_loss_dense"}
            : std::vector<std::string>{"step",    "stage",     "attention", "tokens",
                                       "loss",    "grad_norm", "lr",        "tokens_per_second",
                                       "seconds", "skipped",   "mfu"};
    for (const std::string& key : keys) EXPECT_TRUE(line.contains(key)) << key << " in " << line;
    EXPECT_EQ(line.size(), keys.size()) << line;
    EXPECT_EQ(line["tokens"], 256 * line["step"].get<int>());
    EXPECT_EQ(line["stage"], line["step"] <= 6 ? "sparse" : "recovery");
  }
  const std::vector<Json> steps = steps_of(metrics("run"));
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i]["step"], i + 1);
    EXPECT_EQ(steps[i]["attention"], i < 6 ? "lighthouse" : "dense");
    EXPECT_EQ(steps[i]["skipped"], false);
    EXPECT_GT(steps[i]["tokens_per_second"], 0);
    EXPECT_GT(steps[i]["seconds"], i == 0 ? Json(0.0) : steps[i - 1]["seconds"]);
  }
  EXPECT_LT(steps.back()["loss"], steps.front()["loss"]);
  // keep: 3, and those at the ends of stages, 6 and 10.
  std::set<std::string> saved;
  for (const auto& entry : fs::directory_iterator(run_folder("run") / "checkpoints")) {
    saved.insert(entry.path().filename().string());
  }
  EXPECT_EQ(saved, (std::set<std::string>{"step-00000004", "step-00000006", "step-00000008", "step-00000010"}));
  const std::string log = read_text(run_folder("run") / "log.txt");
  for (const char* word : {"switching to stage recovery", "validation loss", "checkpoint", "step 10/10"}) {
    EXPECT_NE(log.find(word), std::string::npos) << word << " in\n" << log;
  }
}

TEST_F(Train, WritesPlainLinesWithoutATerminal) {
  const Outcome outcome = train("run");
  expect_done(outcome);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find('\r'), std::string::npos) << outcome.err;
  const std::regex progress(R"(info +100%  recovery  step 10/10  loss \d+\.\d+  [\d,]+ tokens/s  [\d.]+ s left\n)");
  EXPECT_TRUE(std::regex_search(outcome.err, progress)) << outcome.err;
  // After one step the remaining time is unknown.
  EXPECT_NE(outcome.err.find("tokens/s  ? left"), std::string::npos) << outcome.err;
}

TEST_F(Train, DrawsABarOnATerminal) {
  Process process(lighthouse_program(),
                  train_arguments("run", {"--set", "stages.0.steps=600", "--set", "evaluation.every=0", "--set",
                                          "checkpoint.every=0"}),
                  Screen::kTerminal);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out;
  const std::regex bar(
      R"(\r\x1b\[K\[=+ *\] +\d+%  sparse  step \d+/604  loss \d+\.\d+  [\d,]+ tokens/s  [\d.]+ m?s left)");
  EXPECT_TRUE(std::regex_search(outcome.out, bar)) << outcome.out;
  EXPECT_NE(outcome.out.find("[========================] 100%"), std::string::npos) << outcome.out;
}

TEST_F(Train, ResolvedConfigIsEqualAndTrainsTheSame) {
  expect_done(train("plain"));
  const Outcome first = lighthouse({"config", write_config(), "--set", "run.directory=" + path("runs/again")});
  expect_done(first);
  write_text(at("resolved.yaml"), first.out);
  const Outcome second = lighthouse({"config", path("resolved.yaml")});
  expect_done(second);
  EXPECT_EQ(second.out, first.out);
  expect_done(lighthouse({"train", path("resolved.yaml")}));
  EXPECT_EQ(losses_and_norms(metrics("again")), losses_and_norms(metrics("plain")));
  // The saved config has the values that `auto` resolved to.
  const Outcome on_cpu =
      lighthouse({"config", path("resolved.yaml"), "--set", "run.device=cpu", "--set", "run.dtype=float32", "--set",
                  "stages.0.recompute=none", "--set", "stages.1.recompute=none"});
  EXPECT_TRUE(on_cpu.out.starts_with(read_text(run_folder("again") / "config.yaml") + "\n# The layers in"))
      << "more than the layers' attention is appended: " << on_cpu.out;
}

TEST_F(Train, SameResultsWithAnyNumberOfThreads) {
  expect_done(train("one"));
  setenv("OMP_NUM_THREADS", "2", 1);
  const Outcome outcome = train("two");
  unsetenv("OMP_NUM_THREADS");
  expect_done(outcome);
  EXPECT_EQ(losses_and_norms(metrics("one")), losses_and_norms(metrics("two")));
}

TEST_F(Train, NoMoreThreadsThanProcessors) {
  const std::string config = write_config();
  const auto plan_with = [&](const std::string& threads) {
    setenv("OMP_NUM_THREADS", threads.c_str(), 1);
    const Outcome outcome = lighthouse({"plan", config});
    unsetenv("OMP_NUM_THREADS");
    expect_done(outcome);
    return outcome;
  };
  const auto memory_of = [](const Outcome& plan) { return plan.out.substr(0, plan.out.find("The run allocates")); };
  const Outcome far_too_many = plan_with("100000");
  EXPECT_NE(far_too_many.err.find("OMP_NUM_THREADS is 100000"), std::string::npos) << far_too_many.err;
  EXPECT_EQ(memory_of(far_too_many), memory_of(plan_with(std::to_string(std::thread::hardware_concurrency()))));
}

TEST_F(Train, PlanShowsMemoryAndOperationsAndRunsNothing) {
  const std::string config = write_config();
  const auto before = snapshot();
  const Outcome plan = lighthouse({"plan", config, "--set", "hardware.peak_tflops=100"});
  expect_done(plan);
  for (const char* word :
       {"12,912 parameters, 10 steps, 2,560 tokens", "weights", "gradients", "optimizer state", "A checkpoint takes",
        "sparse", "recovery", "operations/token", "the whole run", "It fits"}) {
    EXPECT_NE(plan.out.find(word), std::string::npos) << word << " in\n" << plan.out;
  }
  EXPECT_EQ(snapshot(), before);
  const Outcome too_large = lighthouse({"plan", config, "--set", "model.hidden_size=65536"});
  expect_done(too_large);
  EXPECT_NE(too_large.out.find("It does not fit"), std::string::npos) << too_large.out;
}

TEST_F(Train, DenseEveryAndLearningRateFactorShowInTheMetrics) {
  expect_done(train("plain"));
  expect_done(train("run", {"--set", "stages.0.dense_every=3", "--set", "stages.1.learning_rate_factor=0.5"}));
  const std::vector<Json> plain = steps_of(metrics("plain"));
  const std::vector<Json> steps = steps_of(metrics("run"));
  ASSERT_EQ(steps.size(), plain.size());
  std::string kinds;
  for (size_t i = 0; i < steps.size(); ++i) {
    kinds += steps[i]["attention"] == "dense" ? 'd' : 'l';
    const double factor = i < 6 ? 1 : 0.5;
    EXPECT_DOUBLE_EQ(steps[i]["lr"].get<double>(), factor * plain[i]["lr"].get<double>());
  }
  EXPECT_EQ(kinds, "lldlld" + std::string("dddd"));
  EXPECT_EQ(steps[1]["loss"], plain[1]["loss"]);
  EXPECT_NE(steps[2]["loss"], plain[2]["loss"]);
}

TEST_F(Train, ReportsUtilisationIfThePeakIsKnown) {
  expect_done(train("run", {"--set", "hardware.peak_tflops=1"}));
  for (const Json& step : steps_of(metrics("run"))) EXPECT_GT(step.at("mfu"), 0);
}

TEST_F(Train, BranchContinuesTheWholeStateElsewhere) {
  expect_done(train("run"));
  const auto before = read_text(metrics("run"));
  expect_done(train("branch", {"--set", "run.branch_from=" + checkpoint("run", 6).string()}));
  EXPECT_EQ(losses_and_norms(metrics("branch")), losses_and_norms(metrics("run")));
  EXPECT_EQ(read_text(metrics("run")), before);
}

TEST_F(Train, InitFromLoadsOnlyTheWeights) {
  expect_done(train("run"));
  expect_done(train("child", {"--set", "run.init_from=" + run_folder("run").string()}));
  const std::vector<Json> steps = steps_of(metrics("child"));
  ASSERT_EQ(steps.size(), 10U);
  EXPECT_LT(steps[0]["loss"], steps_of(metrics("run"))[4]["loss"]);
  expect_refusal(
      train("other", {"--set", "run.init_from=" + run_folder("run").string(), "--set", "model.num_hidden_layers=3"}),
      {"model.num_hidden_layers: 2 in the checkpoint, 3 now", "Only the model must stay"});
}

TEST_F(Train, GenerateRefusesInvalidSampling) {
  expect_done(train("run"));
  const std::string run = run_folder("run").string();
  const auto refused = [&](const Arguments& more, const std::vector<std::string>& words) {
    Arguments arguments{"generate", run};
    arguments.insert(arguments.end(), more.begin(), more.end());
    expect_refusal(lighthouse(arguments), words);
  };
  refused({"--prompt", ""}, {"prompt is empty", "at least one character"});
  refused({"--temperature=-1"}, {"temperature is -1", "0 or more"});
  refused({"--temperature", "inf"}, {"temperature is inf", "0 or more"});
  refused({"--temperature", "nan"}, {"temperature is nan", "0 or more"});
  refused({"--temperature", "hot"}, {"--temperature", "hot"});
  refused({"--top-k=-1"}, {"top_k is -1", "at least 0"});
  refused({"--max-tokens=-1"}, {"max_tokens -1", "1"});
}

TEST_F(Train, GenerateWritesTheSameForTheSameSeed) {
  expect_done(train("run"));
  const auto text = [&](const Arguments& more) {
    Arguments arguments{"generate", run_folder("run").string(), "--prompt", "the ", "--max-tokens", "40"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = lighthouse(arguments);
    expect_done(outcome);
    return outcome.out;
  };
  EXPECT_EQ(text({"--seed", "5"}), text({"--seed", "5"}));
  EXPECT_NE(text({"--seed", "5"}), text({"--seed", "6"}));
  EXPECT_EQ(text({"--temperature", "0", "--seed", "5"}), text({"--temperature", "0", "--seed", "6"}));
  EXPECT_EQ(text({"--temperature", "0"}), text({"--top-k", "1"}));
}

}  // namespace
}  // namespace lighthouse::test
