// Standard streams that are closed or full.
#include "workspace.h"

namespace lighthouse::test {
namespace {

class Streams : public Workspace {
 protected:
  Streams() {
    write_data();
    write_config();
  }

  /// `lighthouse ARGUMENTS REDIRECTIONS` in a shell.
  Outcome shell(const std::string& arguments, const std::string& redirections) const {
    return Workspace::shell(command_of(arguments + " " + redirections));
  }

  /// The program's exit code if the reader of its standard output exits at once; err.txt has its standard error.
  int without_reader(const std::string& arguments) const {
    Workspace::shell("{ sleep 0.5; " + command_of(arguments) + " 2> err.txt; echo $? > code.txt; } | true");
    return std::stoi(read_text(at("code.txt")));
  }
};

TEST_F(Streams, FailedOutputFailsTheCommand) {
  for (const char* arguments : {"config run.yaml", "data inspect 'data/*.bin'", "--help"}) {
    EXPECT_EQ(shell(arguments, "> /dev/null").exit_code, 0) << arguments;
    for (const char* redirection : {"> /dev/full", ">&-"}) {
      const Outcome outcome = shell(arguments, redirection);
      EXPECT_EQ(outcome.exit_code, 1) << arguments << redirection;
      EXPECT_NE(outcome.err.find("standard output"), std::string::npos) << outcome.err;
    }
  }
}

TEST_F(Streams, AReaderThatExitsEndsTheCommandQuietly) {
  expect_done(lighthouse({"train", path("run.yaml")}));
  for (const char* arguments :
       {"config run.yaml", "data inspect 'data/*.bin'", "--help", "config --reference", "plan run.yaml",
        // Endless unless the reader's exit stops it.
        "generate runs/tiny --temperature 0 --max-tokens 100000000"}) {
    EXPECT_EQ(without_reader(arguments), 141) << arguments;
    EXPECT_EQ(read_text(at("err.txt")).find("error"), std::string::npos) << read_text(at("err.txt"));
  }
}

TEST_F(Streams, TrainingOutlivesTheReadersOfItsLog) {
  const std::string train = "train run.yaml --set stages.0.steps=300 --set run.directory=runs/";
  EXPECT_EQ(Workspace::shell("{ " + command_of(train + "a") + " 2>&1; echo $? > code.txt; } | head -1").exit_code, 0);
  EXPECT_EQ(read_text(at("code.txt")), "0\n");
  EXPECT_NE(read_text(at("runs/a/log.txt")).find("step-00000304"), std::string::npos);
}

TEST_F(Streams, OtherCommandsOutliveTheReadersOfTheirLog) {
  expect_done(lighthouse({"train", path("run.yaml")}));
  write_text(at("text.txt"), sample_text(100000));
  for (const char* arguments : {"export runs/tiny hf", "prepare text.txt --out shards"}) {
    EXPECT_EQ(
        Workspace::shell("{ sleep 0.5; " + command_of(arguments) + "; echo $? > code.txt; } 2>&1 | true").exit_code, 0);
    EXPECT_EQ(read_text(at("code.txt")), "0\n") << arguments;
  }
}

TEST_F(Streams, MessagesDoNotGoIntoFiles) {
  for (const std::string run : {"runs/a", "runs/b"}) {
    const std::string closed = run == "runs/a" ? "2>&-" : "<&- >&- 2>&-";
    EXPECT_EQ(shell("train run.yaml --set run.name=x --set run.directory=" + run, closed).exit_code, 0);
    EXPECT_EQ(read_text(at(run) / ".lock"), "");
    expect_done(lighthouse({"export", path(run), path(run + "/hf")}));
    EXPECT_EQ(shell("export " + run + " " + run + "/hf2", closed).exit_code, 0);
    EXPECT_EQ(read_text(at(run) / "hf2/model.safetensors"), read_text(at(run) / "hf/model.safetensors"));
  }
}

}  // namespace
}  // namespace lighthouse::test
