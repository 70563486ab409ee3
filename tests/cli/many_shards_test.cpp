// More shards than a process may have open files.
#include "workspace.h"

namespace lighthouse::test {
namespace {

class ManyShards : public Workspace {
 protected:
  static constexpr int kShards = 300;

  ManyShards() {
    write_data();
    std::filesystem::remove(at("data/train-00000.bin"));
    const std::string text = sample_text(kShards * 200);
    for (int i = 0; i < kShards; ++i) {
      write_text(at("data/train-" + std::to_string(1000 + i) + ".bin"), shard_of_text(text.substr(i * 200, 200)));
    }
    write_config();
  }

  /// `lighthouse ARGUMENTS` with a limit of 256 open files.
  Outcome limited(const std::string& arguments) const { return shell("ulimit -n 256 && " + command_of(arguments)); }
};

TEST_F(ManyShards, TrainAsWithoutALimit) {
  expect_done(limited("train run.yaml"));
  expect_done(train("free"));
  EXPECT_EQ(losses_and_norms(at("runs/tiny/metrics.jsonl")), losses_and_norms(at("runs/free/metrics.jsonl")));
}

TEST_F(ManyShards, AreAllInspected) {
  const Outcome outcome = limited("data inspect 'data/train-*.bin'");
  expect_done(outcome);
  EXPECT_NE(outcome.out.find("60,000 tokens"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("train-1299.bin"), std::string::npos);
}

}  // namespace
}  // namespace lighthouse::test
