// Expansion of "~" and "$HOME" in the paths of configs and of the command line.
#include <cstdlib>

#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;

class Paths : public Workspace {
 protected:
  Paths() : home_(std::getenv("HOME") == nullptr ? "" : std::getenv("HOME")), before_(fs::current_path()) {
    write_data();
    setenv("HOME", path("home").c_str(), 1);
    setenv("LH_DATA", path("data").c_str(), 1);
    fs::create_directories(at("home"));
    fs::create_directories(at("here"));
    fs::current_path(at("here"));
  }
  ~Paths() override {
    fs::current_path(before_);
    setenv("HOME", home_.c_str(), 1);
  }

  std::string home_;
  fs::path before_;
};

TEST_F(Paths, OfAConfigAreExpanded) {
  write_text(at("base.yaml"), tiny_config());
  write_text(at("home/run.yaml"),
             "extends: ${LH_DATA}/../base.yaml\nrun: {directory: $HOME/runs/a}\n"
             "data: {train: [{path: '${LH_DATA}/train-*.bin'}], validation: $LH_DATA/val-*.bin}\n");
  // An absolute path after a folder's name stays absolute.
  expect_done(lighthouse({"train", "~/run.yaml"}));
  EXPECT_TRUE(fs::exists(at("home/runs/a/checkpoints/step-00000010")));
  expect_done(lighthouse({"train", "~/run.yaml", "--set", "run.directory=~/runs/b", "--set",
                          "run.init_from=~/runs/a/checkpoints/step-00000010"}));
  expect_done(lighthouse({"train", "$HOME/runs/b/config.yaml", "--resume"}));
  EXPECT_TRUE(fs::is_empty(at("here")));
}

TEST_F(Paths, OfTheCommandLineAreExpanded) {
  write_text(at("home/text.txt"), sample_text(4000));
  expect_done(lighthouse({"prepare", "--out=~/shards", "$HOME/text.txt"}));
  EXPECT_TRUE(fs::exists(at("home/shards/train-00000.bin")));
  expect_done(lighthouse({"data", "inspect", "~/shards/*.bin"}));
  expect_done(train("run"));
  fs::rename(run_folder("run"), at("home/run"));
  expect_done(lighthouse({"export", "~/run", "$HOME/exported"}));
  expect_done(lighthouse({"import", "~/exported", "~/imported", "--tokenizer", "bytes"}));
  expect_done(lighthouse({"generate", "${HOME}/imported", "--prompt", "$HOME", "--max-tokens", "2"}));
  EXPECT_TRUE(fs::is_empty(at("here")));
  EXPECT_TRUE(fs::exists(at("home/imported/model.yaml")));
}

TEST_F(Paths, OfUnknownUsersAndVariablesAreRefused) {
  const std::string config = write_config();
  expect_refusal(lighthouse({"train", config, "--set", "run.directory=$LH_NOTHING/runs"}),
                 {"run.directory", "LH_NOTHING is not set"});
  expect_refusal(lighthouse({"train", config, "--set", "run.directory=runs/~/a"}), {"run.directory", "~"});
  expect_refusal(lighthouse({"train", config, "--set", "data.train=~nobody-here/a.bin"}),
                 {"data.train", "does not exist"});
  expect_refusal(lighthouse({"train", config, "--set", "run.name='~'"}), {"run.name is \"~\""});
  expect_refusal(lighthouse({"train", config, "--set", "run.name=$HOME"}), {"run.name is \"$HOME\""});
  expect_refusal(lighthouse({"prepare", "--out", "$LH_NOTHING", config}), {"--out", "LH_NOTHING is not set"});
  EXPECT_TRUE(fs::is_empty(at("here")));
}

TEST_F(Paths, ThatExistAreNotExpanded) {
  write_text(at("here/price in $.txt"), sample_text(4000));
  expect_done(lighthouse({"prepare", "--out", "shards", "price in $.txt"}));
}

}  // namespace
}  // namespace lighthouse::test
