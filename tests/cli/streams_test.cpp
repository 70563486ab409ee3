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
    Process process("/bin/sh", {"-c", "cd '" + folder_.string() + "' && '" + lighthouse_program() + "' " + arguments +
                                          " " + redirections});
    return process.wait();
  }
};

TEST_F(Streams, WhatCannotBePrintedIsNoSuccess) {
  for (const char* arguments : {"config run.yaml", "data inspect 'data/*.bin'", "--help"}) {
    EXPECT_EQ(shell(arguments, "> /dev/null").exit_code, 0) << arguments;
    for (const char* redirection : {"> /dev/full", ">&-"}) {
      const Outcome outcome = shell(arguments, redirection);
      EXPECT_EQ(outcome.exit_code, 1) << arguments << redirection;
      EXPECT_NE(outcome.err.find("standard output"), std::string::npos) << outcome.err;
    }
  }
}

TEST_F(Streams, WhatIsSaidDoesNotGoIntoFiles) {
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
