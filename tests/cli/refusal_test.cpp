// Invalid input: exit code 2, a message with the fault, its place and what would work; nothing written.
#include <ostream>

#include "workspace.h"

namespace lighthouse::test {
namespace {

struct Case {
  std::string name;
  Arguments settings;              // each becomes a --set
  std::vector<std::string> words;  // expected in the message
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

/// Settings that are invalid for any data.
class Setting : public Workspace, public ::testing::WithParamInterface<Case> {};

TEST_P(Setting, IsRefusedByTrainPlanAndConfig) {
  write_data();
  const std::string config = write_config();
  const auto before = snapshot();
  for (const char* command : {"train", "plan", "config"}) {
    Arguments arguments{command, config};
    for (const std::string& setting : GetParam().settings) arguments.insert(arguments.end(), {"--set", setting});
    expect_refusal(lighthouse(arguments), GetParam().words);
  }
  EXPECT_EQ(snapshot(), before);
  EXPECT_FALSE(std::filesystem::exists(at("runs")));
}

const Case kSettings[] = {
    {"MisspeltKey",
     {"optimizer.leraning_rate=1"},
     {"--set optimizer.leraning_rate=1", "unknown key \"leraning_rate\" in optimizer", "mean \"learning_rate\""}},
    {"MisspeltSection", {"optimiser.learning_rate=1"}, {"unknown key \"optimiser\"", "mean \"optimizer\""}},
    {"KeyOfAnotherSection", {"model.sequence_length=64"}, {"\"sequence_length\" in model", "batch.sequence_length"}},
    {"NotASetting", {"foo"}, {"--set foo", "expected key.path=value"}},
    {"NoSuchStage", {"stages.5.steps=3"}, {"stages.5.steps=3", "list of 2", "0 to 1"}},
    {"Words", {"batch.sequence_length=long"}, {"batch.sequence_length is \"long\"", "whole number from 1"}},
    {"Fraction", {"batch.sequence_length=128.5"}, {"batch.sequence_length is 128.5", "whole number"}},
    {"Negative", {"batch.sequence_length=-1"}, {"batch.sequence_length is -1", "whole number from 1"}},
    {"BeyondInt64",
     {"batch.sequence_length=99999999999999999999999"},
     {"batch.sequence_length is 99999999999999999999999", "whole number from 1"}},
    {"HugeBatch", {"batch.global_batch_size=9223372036854775807"}, {"global_batch_size is 9223372036854775807", "to"}},
    {"HugeModel",
     {"model.hidden_size=1048576", "model.num_hidden_layers=4096", "batch.sequence_length=1073741824"},
     {"memory", "at most"}},
    {"NoSteps", {"stages.0.steps=0"}, {"stages.0.steps is 0", "from 1"}},
    {"InfiniteNumber", {"optimizer.learning_rate=1e999"}, {"optimizer.learning_rate is", "a number above 0"}},
    {"NotANumber", {"optimizer.learning_rate=nan"}, {"optimizer.learning_rate is", "a number above 0"}},
    {"OutOfRange", {"optimizer.beta1=1.5"}, {"optimizer.beta1 is 1.5", "from 0 to below 1"}},
    {"NegativeSeed", {"run.seed=-1"}, {"run.seed is -1", "whole number"}},
    {"NoFlag", {"model.tie_word_embeddings=maybe"}, {"tie_word_embeddings is \"maybe\"", "true or false"}},
    {"NoSuchDecay", {"schedule.decay=liner"}, {"schedule.decay is \"liner\"", "constant, linear, cosine", "linear"}},
    {"NoSuchDevice", {"run.device=tpu"}, {"run.device is \"tpu\"", "auto, cpu, cuda"}},
    {"NoSuchPreset", {"model.preset=tinny"}, {"model.preset is \"tinny\"", "tiny"}},
    {"NoSuchTokenizer", {"model.tokenizer=bpe"}, {"model.tokenizer", "\"bpe\"", "bytes"}},
    {"SmallVocabulary", {"model.vocab_size=100"}, {"model.vocab_size is 100", "at least 257"}},
    {"HeadsDoNotDivide", {"model.hidden_size=17"}, {"hidden_size 17", "num_attention_heads 2", "16 or 32"}},
    {"KeyHeadsDoNotDivide", {"model.num_key_value_heads=3"}, {"num_key_value_heads 3", "nearest that does is 2"}},
    {"BatchDoesNotDivide",
     {"batch.global_batch_size=5", "batch.micro_batch_size=2"},
     {"batch.global_batch_size is 5", "not a multiple of micro_batch_size (2)", "4 or 6"}},
    {"LongWarmUp", {"schedule.warmup_steps=11"}, {"schedule.warmup_steps is 11", "the run has 10 steps", "at most"}},
    {"DenseEveryInDenseStage", {"stages.1.dense_every=2"}, {"stages.1.dense_every is 2", "attention: lighthouse"}},
    {"DenseEveryStep", {"stages.0.dense_every=1"}, {"stages.0.dense_every is 1", "at least 2, or 0"}},
    {"StagesOfOneName", {"stages.1.name=sparse"}, {"stages.1.name is \"sparse\"", "another stage's"}},
    {"NameWithSlash", {"run.name=a/b"}, {"run.name is \"a/b\"", "without \"/\""}},
    {"TwoStarts", {"run.init_from=a", "run.branch_from=b"}, {"run.init_from and run.branch_from", "remove one"}},
    // Every rule of Lighthouse Attention's settings.
    {"OneLevel", {"attention.lighthouse.levels=1"}, {"attention.lighthouse.levels is 1", "from 2"}},
    {"NoPooling", {"attention.lighthouse.pooling_factor=1"}, {"pooling_factor is 1", "from 2"}},
    {"NoTile", {"attention.lighthouse.tile=0"}, {"attention.lighthouse.tile is 0", "from 2"}},
    {"OddTile",
     {"attention.lighthouse.tile=3", "attention.lighthouse.top_k=9"},
     {"stage \"sparse\"", "sequence_length 128", "tile must be even", "is 3", "tile 2 works"}},
    {"TopKBelowTile",
     {"attention.lighthouse.top_k=2"},
     {"stage \"sparse\"", "top_k must be a multiple of tile (4) and at least that", "is 2", "nearest top_k", "is 4"}},
    {"TopKBetweenTiles",
     {"attention.lighthouse.top_k=10"},
     {"top_k must be a multiple of tile (4)", "is 10", "nearest top_k that works is 8"}},
    {"LengthBetweenCoarsestEntries",
     {"batch.sequence_length=130"},
     {"multiple of pooling_factor^(levels-1) = 4", "is 130", "nearest sequence_length that works is 128"}},
    {"TilesDoNotDivide",
     {"batch.sequence_length=132"},
     {"divisible by top_k / tile = 2", "is 33", "sequence_length that works is 128", "top_k that works is 4"}},
    {"SmallShareOfATile",
     {"attention.lighthouse.top_k=64"},
     {"at least tile = 4 entries", "is 2", "sequence_length that works is 256", "top_k that works is 32"}},
    {"TooManyLevels",
     {"attention.lighthouse.levels=20"},
     {"multiple of pooling_factor^(levels-1) = 524288", "is 128", "nearest sequence_length that works is"}},
    {"PyramidBeyondInt64",
     {"attention.lighthouse.levels=31", "attention.lighthouse.pooling_factor=1048576"},
     {"pooling_factor^(levels-1)", "1048576^30", "levels 2"}},
    {"ScorerGla", {"attention.lighthouse.scorer=gla"}, {"scorer is \"gla\"", "not implemented", "norm, dilated"}},
    {"DilationDoesNotDivide",
     {"attention.lighthouse.scorer=dilated", "attention.lighthouse.dilation=3"},
     {"dilation 3 does not divide", "128", "is 2"}},
    {"NoLighthouseLayer",
     {"attention.lighthouse.dense_layers=[0, 1]"},
     {"stage \"sparse\"", "dense_layers [0, 1]", "all 2 layers", "as in [0]"}},
    {"NoSuchLayer", {"attention.lighthouse.dense_layers=[7]"}, {"layer 7", "2 layers", "0 to 1"}},
};

std::string name_of_case(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Refusal, Setting, ::testing::ValuesIn(kSettings), name_of_case);

/// Input that only training checks.
class TrainingInput : public Workspace {
 protected:
  void expect_train_refuses(const Arguments& settings, const std::vector<std::string>& words) {
    const std::string config = write_config();
    const auto before = snapshot();
    Arguments arguments{"train", config};
    for (const std::string& setting : settings) arguments.insert(arguments.end(), {"--set", setting});
    expect_refusal(lighthouse(arguments), words);
    EXPECT_EQ(snapshot(), before);
  }

  /// A file that replaces the training shard.
  void expect_shard_refused(const std::string& bytes, std::vector<std::string> words) {
    write_data();
    write_text(at("data/train-00000.bin"), bytes);
    words.push_back(path("data/train-00000.bin"));
    expect_train_refuses({}, words);
    // Validation data gets the same checks.
    write_data();
    write_text(at("data/val-00000.bin"), bytes);
    words.back() = path("data/val-00000.bin");
    expect_train_refuses({}, words);
  }
};

TEST_F(TrainingInput, MissingConfig) {
  for (const char* command : {"train", "plan", "config"}) {
    expect_refusal(lighthouse({command, path("none.yaml")}), {path("none.yaml"), "does not exist"});
    expect_refusal(lighthouse({command, folder_.string()}), {folder_.string(), "folder", "expected a config file"});
  }
  expect_refusal(lighthouse({"train"}), {"CONFIG is required"});
}

TEST_F(TrainingInput, ConfigFilesErrorsNameTheLine) {
  write_data();
  write_text(at("bad.yaml"), tiny_config() + "optimizr: {}\n");
  expect_refusal(lighthouse({"train", path("bad.yaml")}), {path("bad.yaml") + ":21", "\"optimizr\"", "\"optimizer\""});
  write_text(at("bad.yaml"), tiny_config() + "train: [\n");
  expect_refusal(lighthouse({"train", path("bad.yaml")}), {path("bad.yaml") + ":", "not valid YAML"});
  write_text(at("bad.yaml"), shard_of_text("not a config at all"));
  expect_refusal(lighthouse({"train", path("bad.yaml")}), {path("bad.yaml"), "not UTF-8 text"});
  write_text(at("bad.yaml"), "extends: none.yaml\n");
  expect_refusal(lighthouse({"train", path("bad.yaml")}), {path("bad.yaml") + ":1", "none.yaml", "does not exist"});
}

TEST_F(TrainingInput, NoData) {
  expect_train_refuses({"data.train=" + path("data/none-*.bin")}, {path("data/none-*.bin"), "lighthouse prepare"});
  write_data();
  expect_train_refuses({"data.validation=" + path("none.bin")}, {path("none.bin"), "lighthouse prepare"});
  expect_train_refuses({"data.train=[]"}, {"sparse", "data.train"});
  expect_train_refuses({"data.train=" + path("data")}, {path("data"), "is a folder; expected shards"});
}

TEST_F(TrainingInput, SequenceLongerThanTheData) {
  write_data();
  expect_train_refuses({"batch.sequence_length=65536"},
                       {path("data/train-*.bin"), "65,537 tokens", "has 16,000", "at most 15,999"});
  expect_train_refuses({"batch.sequence_length=8192"}, {path("data/val-*.bin"), "at most 3,999"});
}

TEST_F(TrainingInput, TokenOutsideTheVocabulary) {
  std::vector<uint16_t> tokens(1000, 65);
  tokens[700] = 257;
  expect_shard_refused(shard_bytes({20240520, 1, 1000}, tokens),
                       {"token 700 is 257", "0 to 256", "vocab_size is too small"});
}

TEST_F(TrainingInput, TruncatedShard) {
  const std::string whole = shard_of_text(sample_text(1000));
  expect_shard_refused(whole.substr(0, 2000), {"truncated", "1,000 tokens", "512 tokens are missing"});
  expect_shard_refused(whole.substr(0, 1024), {"truncated", "1,000 tokens are missing"});
  expect_shard_refused(whole.substr(0, 100), {"not a token shard", "truncated", "100 bytes", "1024"});
  expect_shard_refused(whole + "x", {"too long", "1,000 tokens", "2,001"});
}

TEST_F(TrainingInput, ShardWithAWrongHeader) {
  const std::vector<uint16_t> tokens(1000, 65);
  expect_shard_refused(shard_bytes({20240521, 1, 1000}, tokens), {"not a token shard", "20240521", "20240520"});
  expect_shard_refused(shard_bytes({20240520, 2, 1000}, tokens), {"version 2", "version 1"});
  expect_shard_refused(shard_bytes({20240801, 1, 500}, tokens), {"version 1", "version 7"});
  expect_shard_refused(shard_bytes({20240520, 1, -5}, tokens), {"-5 tokens"});
  expect_shard_refused(shard_bytes({20240520, 1, 0}, {}), {"0 tokens"});
}

TEST_F(TrainingInput, ShardOfTheWrongWidth) {
  const std::vector<uint16_t> tokens(1000, 65);  // the bytes of 500 tokens of 32 bits
  expect_shard_refused(shard_bytes({20240520, 1, 500}, tokens),
                       {"500 tokens of 16 bits", "32-bit tokens", "differ in width"});
  expect_shard_refused(shard_bytes({20240801, 7, 1000}, tokens),
                       {"1,000 tokens of 32 bits", "16-bit tokens", "differ in width"});
}

TEST_F(TrainingInput, NoShardAtAll) {
  expect_shard_refused("", {"is empty", "lighthouse prepare"});
  expect_shard_refused(sample_text(5000), {"not a token shard", "is text", "lighthouse prepare"});
}

TEST_F(TrainingInput, CudaInABuildWithoutIt) {
  write_data();
  expect_train_refuses({"run.device=cuda"}, {"run.device is cuda", "run.device=cpu"});
}

TEST_F(TrainingInput, StartFromAMissingCheckpoint) {
  write_data();
  for (const char* key : {"run.init_from", "run.branch_from"}) {
    expect_train_refuses({key + std::string("=nonsense")}, {"nonsense is not a checkpoint", "checkpoints/step-"});
  }
}

TEST_F(TrainingInput, TooMuchMemory) {
  write_data();
  const Arguments settings{"model.hidden_size=65536", "model.num_hidden_layers=100"};
  expect_train_refuses(settings, {"the run needs", "more than", "only a smaller model would fit", "lighthouse plan"});
}

TEST_F(TrainingInput, RunFolderThatCannotBeWritten) {
  write_data();
  write_text(at("file"), "kept");
  expect_train_refuses({"run.directory=" + path("file/run")}, {"cannot make the folder", path("file/run")});
  expect_train_refuses({"run.directory=" + path("file")}, {path("file")});
  expect_train_refuses({"run.directory=/proc/lighthouse"}, {"cannot make the folder /proc/lighthouse"});
}

using CommandLine = Workspace;

TEST_F(CommandLine, UnknownCommand) {
  expect_refusal(lighthouse({"trian", "run.yaml"}),
                 {"unknown command \"trian\"", "mean \"train\"", "prepare", "compare"});
  expect_refusal(lighthouse({"xyzzyxyzzy"}), {"unknown command \"xyzzyxyzzy\"", "train, prepare"});
  expect_refusal(lighthouse({}), {"required", "--help"});
}

TEST_F(CommandLine, UnknownOption) {
  expect_refusal(lighthouse({"train", "run.yaml", "--rezume"}), {"--rezume", "--help"});
  expect_refusal(lighthouse({"--verison"}), {"--help"});
  expect_refusal(lighthouse({"train", "run.yaml", "--resume-from", "five"}), {"--resume-from", "five"});
}

TEST_F(CommandLine, GenerateFromNothing) {
  expect_refusal(lighthouse({"generate"}), {"CHECKPOINT is required"});
  expect_refusal(lighthouse({"generate", path("none")}), {path("none"), "not a checkpoint", "step-00001000"});
  std::filesystem::create_directories(at("runs/empty/checkpoints"));
  expect_refusal(lighthouse({"generate", path("runs/empty")}), {path("runs/empty"), "not a checkpoint"});
}

TEST_F(CommandLine, CompareOtherFolders) {
  expect_refusal(lighthouse({"compare"}), {"RUN is required"});
  expect_refusal(lighthouse({"compare", path("none")}), {path("none"), "not a run's directory", "metrics.jsonl"});
  write_text(at("runs/broken/metrics.jsonl"), "this is no JSON\n");
  write_text(at("runs/broken/config.yaml"), tiny_config());
  expect_refusal(lighthouse({"compare", path("runs/broken")}), {"metrics.jsonl:1", "not a line of metrics"});
  write_text(at("runs/broken/metrics.jsonl"), "");
  expect_refusal(lighthouse({"compare", path("runs/broken")}), {"no finished step"});
}

TEST_F(CommandLine, VersionAndHelpSucceed) {
  const Outcome version = lighthouse({"--version"});
  expect_done(version);
  EXPECT_NE(version.out.find('.'), std::string::npos);
  const Outcome help = lighthouse({"--help"});
  expect_done(help);
  for (const char* command : {"train", "prepare", "config", "plan", "generate", "compare", "bench"}) {
    EXPECT_NE(help.out.find(command), std::string::npos) << command;
    expect_done(lighthouse({command, "--help"}));
  }
}

}  // namespace
}  // namespace lighthouse::test
