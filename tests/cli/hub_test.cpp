// The commands export, import, data inspect and tokenizer train.
#include "workspace.h"

namespace lighthouse::test {
namespace {

using Hub = Workspace;

TEST_F(Hub, ARunIsExportedImportedAndTrainedFurther) {
  write_data();
  write_config();
  expect_done(train("first"));
  expect_done(lighthouse({"export", path("runs/first"), path("hf"), "--max-shard-size", "20KB"}));
  EXPECT_TRUE(std::filesystem::exists(at("hf") / "model.safetensors.index.json"));
  expect_refusal(lighthouse({"generate", path("hf")}), {path("hf"), "Hugging Face", "lighthouse import"});
  expect_done(lighthouse({"import", path("hf"), path("imported"), "--rope-theta", "50000"}));
  expect_done(lighthouse({"generate", path("imported"), "--prompt", "a", "--max-tokens", "3"}));
  const Outcome further =
      train("second", {"--set", "run.init_from=" + path("imported"), "--set", "model.rope_theta=50000"});
  expect_done(further);
  EXPECT_NE(further.err.find("starting from the weights of"), std::string::npos) << further.err;
  // Exporting again gives the same weights.
  expect_done(lighthouse({"export", path("imported"), path("again"), "--max-shard-size", "20KB"}));
  for (const auto& entry : std::filesystem::directory_iterator(at("hf"))) {
    if (entry.path().extension() != ".safetensors") continue;
    EXPECT_EQ(read_text(entry.path()), read_text(at("again") / entry.path().filename())) << entry.path();
  }
}

TEST_F(Hub, RefusesInvalidOptions) {
  expect_refusal(lighthouse({"import", path("none"), path("out")}), {path("none"), "config.json"});
  expect_refusal(lighthouse({"export", path("none"), path("out")}), {path("none"), "not a checkpoint"});
  expect_refusal(lighthouse({"export", path("none"), path("out"), "--dtype", "int8"}), {"--dtype", "int8"});
  expect_refusal(lighthouse({"export", path("none"), path("out"), "--max-shard-size", "big"}), {"--max-shard-size"});
  expect_refusal(lighthouse({"import", path("none"), path("out"), "--rope-factor", "4"}), {"--rope-scaling"});
  expect_refusal(lighthouse({"tokenizer", "train", path("none.txt"), "--out", path("x.model")}), {});
}

TEST_F(Hub, AModelRequiresItsTokenizer) {
  const std::string tokenizer = R"({"decoder": {"type": "ByteLevel"}, "added_tokens": [{"id": 256, "content": "</s>"}],
    "model": {"type": "BPE", "vocab": {"a": 97, "b": 98}, "merges": []}})";
  write_text(at("tokenizer.json"), tokenizer);
  write_data();
  write_config();
  expect_done(train("run", {"--set", "model.tokenizer=" + path("tokenizer.json")}));
  const std::string run = path("runs/run");
  expect_done(lighthouse({"export", run, path("hf")}));
  expect_refusal(lighthouse({"generate", run, "--prompt", "ab"}), {"can only decode", "--prompt-tokens"});
  const Outcome text = lighthouse({"generate", run, "--prompt-tokens", "97,98,97", "--max-tokens", "3"});
  expect_done(text);
  EXPECT_TRUE(text.out.starts_with("aba")) << text.out;
  expect_refusal(lighthouse({"generate", run, "--prompt-tokens", "97,257"}), {"token 257", "0 to 256"});
  expect_refusal(lighthouse({"generate", run, "--prompt-tokens", "97,b"}), {"--prompt-tokens"});
  write_text(at("tokenizer.json"), tokenizer + "\n");
  const std::vector<std::string> changed{path("tokenizer.json"), "was trained with", "--tokenizer"};
  expect_refusal(lighthouse({"export", run, path("out")}), changed);
  expect_refusal(lighthouse({"generate", run, "--prompt", "a"}), changed);
  expect_refusal(lighthouse({"eval", run, "--retrieval"}), changed);
  const Outcome further = train("further", {"--set", "run.init_from=" + run});
  expect_done(further);
  EXPECT_NE(further.err.find("the tokenizer bytes is not the one"), std::string::npos) << further.err;
  std::filesystem::remove(at("tokenizer.json"));
  const std::vector<std::string> missing{path("tokenizer.json"), "does not exist", "--tokenizer"};
  expect_refusal(lighthouse({"export", run, path("out")}), missing);
  expect_refusal(lighthouse({"generate", run}), missing);
  EXPECT_FALSE(std::filesystem::exists(at("out")));
  expect_done(lighthouse({"generate", run, "--prompt", "a", "--max-tokens", "3", "--tokenizer", "bytes"}));
  expect_done(lighthouse({"export", run, path("out"), "--tokenizer", path("hf")}));
  expect_done(lighthouse({"import", path("hf"), path("imported")}));
  write_text(at("imported/tokenizer/tokenizer.json"), tokenizer + "\n");
  expect_refusal(lighthouse({"export", path("imported"), path("again")}), {"was trained with"});
}

TEST_F(Hub, AMovedImportKeepsItsTokenizer) {
  const std::string tokenizer = R"({"decoder": {"type": "ByteLevel"}, "added_tokens": [{"id": 256, "content": "</s>"}],
    "model": {"type": "BPE", "vocab": {"a": 97, "b": 98}, "merges": []}})";
  write_text(at("tokenizer.json"), tokenizer);
  write_data();
  write_config();
  expect_done(train("run", {"--set", "model.tokenizer=" + path("tokenizer.json")}));
  expect_done(lighthouse({"export", path("runs/run"), path("hf")}));
  expect_done(lighthouse({"import", path("hf"), path("imported")}));
  std::filesystem::create_directory(at("deep"));
  std::filesystem::rename(at("imported"), at("deep/moved"));
  for (const char* run : {"generate deep/moved --prompt-tokens 97,98 --max-tokens 3", "export deep/moved out"}) {
    expect_done(shell(command_of(run)));
  }
  EXPECT_TRUE(std::filesystem::exists(at("out/tokenizer.json")));
  write_text(at("further.yaml"), R"(extends: deep/moved/model.yaml
run: {name: further, device: cpu}
data: {train: data/train-*.bin}
batch: {sequence_length: 64}
stages: [{attention: dense, steps: 2}]
)");
  const Outcome further = shell(command_of("train further.yaml"));
  expect_done(further);
  EXPECT_NE(further.err.find("starting from the weights of " + path("deep/moved")), std::string::npos) << further.err;
  // Two copies: each has its own.
  std::filesystem::copy(at("deep/moved"), at("copy"), std::filesystem::copy_options::recursive);
  std::filesystem::remove_all(at("deep/moved/tokenizer"));
  expect_done(shell(command_of("export copy out2")));
}

TEST_F(Hub, InspectShowsCountsAndSamples) {
  write_text(at("a.bin"), shard_of_text("hello hello\n"));
  const Outcome outcome = lighthouse({"data", "inspect", path("*.bin")});
  expect_done(outcome);
  for (const char* word : {"a.bin", "12 tokens", "hel", "\"l\"", "33.33%"}) {
    EXPECT_NE(outcome.out.find(word), std::string::npos) << word << " in\n" << outcome.out;
  }
}

TEST_F(Hub, InspectFindsBadShards) {
  write_text(at("good.bin"), shard_of_text("hello hello\n"));
  const std::string cut = shard_of_text("some text");
  write_text(at("cut.bin"), cut.substr(0, cut.size() - 3));
  write_text(at("outside.bin"), shard_bytes({20240520, 1, 3}, {1, 300, 2}));
  const Outcome outcome = lighthouse({"data", "inspect", path("*.bin")});
  EXPECT_EQ(outcome.exit_code, 2);
  for (const char* word : {"cut.bin: truncated", "outside.bin: 1 tokens are outside", "2 of these shards"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
  EXPECT_NE(outcome.out.find("good.bin"), std::string::npos);
}

}  // namespace
}  // namespace lighthouse::test
