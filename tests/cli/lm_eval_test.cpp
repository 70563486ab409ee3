// scripts/lm_eval.sh, with a fake harness that prints its arguments.
#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;

class LmEval : public Workspace {
 protected:
  void SetUp() override {
    for (const char* name : {"config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"}) {
      write_text(at("exported") / name, "{}");
    }
    write_harness("#!/bin/bash\nprintf '%s\\n' \"$@\"\n");
  }

  void write_program(const std::string& name, const std::string& text) const {
    write_text(at(name), text);
    fs::permissions(at(name), fs::perms::owner_all);
  }
  void write_harness(const std::string& text) const { write_program("bin/lm_eval", text); }

  Outcome run(const Arguments& arguments, const std::string& search_path = "") const {
    Arguments all{"PATH=" + (search_path.empty() ? path("bin") + ":/usr/bin:/bin" : search_path), "bash",
                  std::string(LIGHTHOUSE_SOURCE_DIR) + "/scripts/lm_eval.sh"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return Process("/usr/bin/env", all).wait();
  }
};

TEST_F(LmEval, RunsTheExportOnTheUsualTasks) {
  const Outcome outcome = run({path("exported")});
  expect_done(outcome);
  EXPECT_EQ(outcome.out, "--model\nhf\n--model_args\npretrained=" + path("exported") +
                             "\n--tasks\nhellaswag,arc_easy,piqa,lambada_openai\n--output_path\n" +
                             path("exported/lm_eval") + "\n");
}

TEST_F(LmEval, PassesOptionsToTheHarness) {
  const std::string model = "--model\nhf\n--model_args\npretrained=" + path("exported") + "\n";
  const std::string output = "--output_path\n" + path("exported/lm_eval") + "\n";
  for (const Arguments& tasks : {Arguments{"--tasks", "a,b"}, {"--tasks=a,b"}, {"-t", "a,b"}}) {
    Arguments arguments{path("exported"), "--include_path", "my tasks"};
    arguments.insert(arguments.end(), tasks.begin(), tasks.end());
    const Outcome outcome = run(arguments);
    expect_done(outcome);
    std::string expected = model + output + "--include_path\nmy tasks\n";
    for (const std::string& word : tasks) expected += word + "\n";
    EXPECT_EQ(outcome.out, expected);
  }
  const Outcome outcome = run({path("exported"), "-t", "a", "-o", "there"});
  EXPECT_EQ(outcome.out, model + "-t\na\n-o\nthere\n");
}

TEST_F(LmEval, RefusesOtherFolders) {
  expect_refusal(run({path("none")}), {path("none"), "config.json", "lighthouse export"});
  fs::rename(at("exported"), at("a,b"));
  expect_refusal(run({path("a,b")}), {path("a,b"), "rename"});
  fs::remove(at("a,b/model.safetensors"));
  expect_refusal(run({path("a,b")}), {"no weights"});
  expect_refusal(run({}), {"lm_eval.sh FOLDER"});
  expect_refusal(run({"--tasks", "a"}), {"lm_eval.sh FOLDER"});
}

TEST_F(LmEval, NamesMissingPackages) {
  expect_refusal(run({path("exported")}, "/usr/bin:/bin"), {"pip install \"lm-eval[hf]\""});
  write_program("bin/python",
                "#!/bin/bash\nshift; printf '%s ' torch \"$@\" | head -c 19\n");  // a fake Python without the packages
  write_harness("#!" + path("bin/python") + "\n");
  expect_refusal(run({path("exported")}), {path("bin/python") + " -m pip install torch torch transf"});
  write_program("bin/python", "#!/bin/bash\nexit 1\n");
  expect_refusal(run({path("exported")}), {path("bin/python"), "does not run"});
  write_program("bin/python",
                "#!/bin/bash\n[ $1 = - ] || printf '%s\\n' \"${@:2}\"\n");  // a fake Python with the packages
  const Outcome outcome = run({path("exported"), "--limit", "3"});
  expect_done(outcome);
  EXPECT_NE(outcome.out.find("--limit\n3\n"), std::string::npos) << outcome.out;
}

TEST_F(LmEval, FindsMissingPackagesOfARealPython) {
  const std::string python = "/usr/bin/env python3";
  write_harness("#!" + python + "\n");
  if (Process("/usr/bin/env", {"python3", "-S", "-c", ""}).wait().exit_code != 0) GTEST_SKIP() << "python3 is not here";
  // Without site-packages Python has only its standard library.
  write_program("bin/python3", "#!/bin/bash\nexec /usr/bin/env PATH=/usr/local/bin:/usr/bin:/bin python3 -S \"$@\"\n");
  expect_refusal(run({path("exported")}), {"/usr/bin/env python3 -m pip install torch transformers accelerate\n"});
  fs::remove(at("exported/tokenizer.json"));
  expect_refusal(run({path("exported")}), {"accelerate sentencepiece protobuf\n"});
}

}  // namespace
}  // namespace lighthouse::test
