// Reading of valid configs: values, defaults, presets, stages, extends, --set, and writing them back.
#include "lighthouse/config/load.h"

#include <algorithm>
#include <sstream>

#include "config_test.h"

namespace lighthouse {
namespace {

TEST(Config, ReadsEverySection) {
  const RunConfig config = parse_config(kExample, "example.yaml");
  EXPECT_EQ(config.run.name, "example");
  EXPECT_EQ(config.run.seed, 7);
  EXPECT_EQ(config.run.directory, "runs/example");
  EXPECT_EQ(config.model.num_hidden_layers, 6);
  EXPECT_EQ(config.model.hidden_size, 128);
  EXPECT_EQ(config.attention.lighthouse.top_k, 32);
  EXPECT_EQ(config.attention.lighthouse.dense_layers, (std::vector<int64_t>{0, -1}));
  EXPECT_TRUE(config.attention.lighthouse.cover_prefix);
  EXPECT_EQ(config.data.train, (std::vector<DataSource>{{"data/a-*.bin", 2.5}, {"data/b.bin", 1}}));
  EXPECT_EQ(config.data.validation, "data/val.bin");
  EXPECT_EQ(config.optimizer.learning_rate, 2e-3);
  EXPECT_EQ(config.optimizer.beta2, 0.95);
  EXPECT_EQ(config.schedule.decay, Decay::kCosine);
  ASSERT_EQ(config.stages.size(), 2U);
  EXPECT_EQ(config.stages[0].attention, AttentionKind::kLighthouse);
  EXPECT_EQ(config.stages[0].dense_every, 4);
  EXPECT_EQ(config.stages[1].attention, AttentionKind::kDense);
  EXPECT_EQ(config.stages[1].learning_rate_factor, 0.5);
  EXPECT_EQ(config.total_steps(), 150);
}

TEST(Config, StagesInheritAndOverride) {
  const RunConfig config = parse_config(R"(
model: {rope_theta: 20000}
data: {train: a.bin, validation: v.bin}
batch: {sequence_length: 64, micro_batch_size: 1, global_batch_size: 4}
stages:
  - {steps: 1}
  - {steps: 2, rope_theta: 5.0e5, batch: {sequence_length: 128}, data: {train: [b.bin, c.bin]}}
)",
                                        "");
  EXPECT_EQ(config.stages[0].name, "dense-0");
  EXPECT_EQ(config.stages[0].rope_theta, 20000);
  EXPECT_EQ(config.stages[0].batch, config.batch);
  EXPECT_EQ(config.stages[0].data, config.data);
  EXPECT_EQ(config.stages[1].name, "dense-1");
  EXPECT_EQ(config.stages[1].rope_theta, 5e5);
  EXPECT_EQ(config.stages[1].batch, (BatchSection{128, 1, 4}));
  EXPECT_EQ(config.stages[1].data.train, (std::vector<DataSource>{{"b.bin", 1}, {"c.bin", 1}}));
  EXPECT_EQ(config.stages[1].data.validation, "v.bin");
}

TEST(Config, TrainDataMayBeASinglePattern) {
  const RunConfig config = parse_config("data: {train: data/*.bin}\nstages: [{steps: 1}]", "");
  EXPECT_EQ(config.data.train, (std::vector<DataSource>{{"data/*.bin", 1}}));
}

TEST(Config, ReadsWindows) {
  const RunConfig config = parse_config(
      "model: {num_hidden_layers: 8, sliding_window: 4096, full_attention_layers: [0, -2]}\n"
      "attention: {window: 1024, lighthouse: {top_k: 32, tile: 16, window: 256, dense_layers: [], window_layers: [2], "
      "window_every: 4}}\nstages: [{steps: 3, attention: window, dense_every: 2}, {steps: 1}]",
      "");
  EXPECT_EQ(config.model.sliding_window, 4096);
  EXPECT_EQ(config.model.full_attention_layers, (std::vector<int64_t>{0, -2}));
  EXPECT_EQ(config.attention.window, 1024);
  EXPECT_EQ(config.attention.lighthouse.window, 256);
  EXPECT_EQ(config.attention.lighthouse.window_layers, (std::vector<int64_t>{2}));
  EXPECT_EQ(config.attention.lighthouse.window_every, 4);
  EXPECT_EQ(config.stages[0].attention, AttentionKind::kWindow);
  EXPECT_EQ(config.stages[0].name, "window-0");
  EXPECT_EQ(config.stages[0].dense_every, 2);
  EXPECT_TRUE(parse_config(to_yaml(config), "") == config) << to_yaml(config);
}

// A config without window keys means the same as before windows were added.
TEST(Config, WithoutWindowsThereAreNone) {
  const RunConfig config = parse_config(kExample, "");
  EXPECT_EQ(config.model.sliding_window, 0);
  EXPECT_EQ(config.attention.window, 0);
  EXPECT_EQ(config.attention.lighthouse.window, 0);
  EXPECT_TRUE(config.attention.lighthouse.window_layers.empty());
  EXPECT_EQ(config.attention.lighthouse.window_every, 0);
}

TEST(Config, AWindowStageMayStayInsideDocuments) {
  EXPECT_NO_THROW(parse_config(
      "attention: {window: 64}\nstages: [{steps: 1, attention: window, data: {document_mask: attention}}]", ""));
}

TEST(Config, TrainDataMayBeMissing) {
  EXPECT_TRUE(parse_config("stages: [{steps: 1}]", "").data.train.empty());
}

TEST(Config, SectionsMayBeEmpty) {
  const RunConfig config = parse_config("optimizer:\n#  beta1: 0.5\nstages: [{steps: 1}]", "");
  EXPECT_EQ(config.optimizer, OptimizerSection{});
}

TEST(Config, AcceptsUsualSpellingsOfNumbers) {
  const RunConfig config = parse_config(
      "optimizer: {learning_rate: 1e-3, weight_decay: 1, beta1: .5, epsilon: +1.0E-6}\nstages: [{steps: 1}]", "");
  EXPECT_EQ(config.optimizer.learning_rate, 1e-3);
  EXPECT_EQ(config.optimizer.weight_decay, 1);
  EXPECT_EQ(config.optimizer.beta1, 0.5);
  EXPECT_EQ(config.optimizer.epsilon, 1e-6);
}

TEST(Config, PresetComesFirstAndFieldsChangeIt) {
  const RunConfig config = parse_config("model: {num_hidden_layers: 2, preset: paper-530m}\nstages: [{steps: 1}]", "");
  EXPECT_EQ(config.model.hidden_size, 1024);
  EXPECT_EQ(config.model.vocab_size, 128256);
  EXPECT_EQ(config.model.num_hidden_layers, 2);
}

TEST(Config, EveryPresetIsAValidModel) {
  for (const std::string& name : model_preset_names()) {
    ASSERT_TRUE(model_preset(name).has_value()) << name;
    EXPECT_NO_THROW(model_preset(name)->check()) << name;
    EXPECT_NO_THROW(parse_config("model: {preset: " + name + "}\nstages: [{steps: 1}]", "")) << name;
  }
  EXPECT_FALSE(model_preset("no-such-model").has_value());
}

TEST(Config, RoundTrip) {
  for (const std::string extra :
       {"", "data: {train: []}", "evaluation: {every: 0}", "optimizer: {epsilon: 1.0e-30, learning_rate: 0.1}",
        "hardware: {peak_tflops: 989.4}", "model: {sliding_window: 4096, full_attention_layers: [0, -1]}",
        "attention: {window: 1024, lighthouse: {window: 256, window_layers: [0, -1], window_every: 3}}"}) {
    std::string text = kExample;
    if (!extra.empty()) text = extra + std::string("\nstages: [{steps: 3, name: \"~\"}, {steps: 20, name: 'null'}]\n");
    const RunConfig config = parse_config(text, "example");
    EXPECT_TRUE(parse_config(to_yaml(config), "") == config) << to_yaml(config);
  }
}

TEST(Config, RoundTripOfOddTexts) {
  for (const char* text : {"~",  "null", "true", "12",  "- a", "#x",      "a: b", "*x",  "&x",   "!x", "é ü",  "a'b\"c",
                           "\\", "%",    "@",    "{a}", "[b]", " space ", "?",    "---", "a #b", "..", "x\\ny"}) {
    RunConfig config = parse_config("stages: [{steps: 1}]", "");
    config.data.validation = text;
    config.stages[0].data.validation = text;
    EXPECT_TRUE(parse_config(to_yaml(config), "") == config) << text << "\n" << to_yaml(config);
  }
}

TEST(Config, WrittenConfigHasEveryValue) {
  const std::string yaml = to_yaml(parse_config(kExample, ""));
  EXPECT_EQ(yaml.find("preset"), std::string::npos);
  for (const char* key : {"hidden_size: 128", "directory: runs/example", "dense_layers: [0, -1]", "keep: 3",
                          "    rope_theta: 10000", "      sequence_length: 1024"}) {
    EXPECT_NE(yaml.find(key), std::string::npos) << key << "\n" << yaml;
  }
}

TEST(Config, DifferencesNameKeysAndValues) {
  const RunConfig before = parse_config(kExample, "");
  EXPECT_TRUE(differences(before, before).empty());

  RunConfig after = before;
  after.optimizer.learning_rate = 0.01;
  after.attention.lighthouse.dense_layers = {0};
  after.stages.pop_back();
  after.data.train.push_back({"c.bin", 1});
  std::vector<std::string> lines;
  for (const ConfigDifference& d : differences(before, after))
    lines.push_back(d.key + ": " + d.before + " -> " + d.after);
  const auto has = [&](const std::string& line) { return std::find(lines.begin(), lines.end(), line) != lines.end(); };
  EXPECT_TRUE(has("optimizer.learning_rate: 0.002 -> 0.01"));
  EXPECT_TRUE(has("attention.lighthouse.dense_layers: [0, -1] -> [0]"));
  EXPECT_TRUE(has("stages.1.steps: 50 -> (none)"));
  EXPECT_TRUE(has("stages.1.data.train.0.path: data/a-*.bin -> (none)"));
  EXPECT_TRUE(has("data.train.2.path: (none) -> c.bin"));
  EXPECT_FALSE(has("stages.0.steps: 100 -> 100"));
}

TEST(Config, ReferenceNamesEveryKey) {
  const std::string reference = config_reference();
  const RunConfig config = parse_config(kExample, "");
  for (const ConfigDifference& entry : differences(RunConfig{}, [&] {
         RunConfig other = config;
         other.run.seed = 8;
         return other;
       }())) {
    const std::string key = entry.key.substr(entry.key.rfind('.') + 1);
    EXPECT_NE(reference.find("`" + key + "`"), std::string::npos) << entry.key;
  }
  for (const char* title : {"## run\n", "## model\n", "## attention.lighthouse\n", "## data\n", "## data.train.0\n",
                            "## batch\n", "## stages.0\n", "## optimizer\n", "## schedule\n", "## checkpoint\n",
                            "## evaluation\n", "## train\n", "## hardware\n"}) {
    EXPECT_NE(reference.find(title), std::string::npos) << title;
  }
  // Every key of the written config is documented.
  std::istringstream yaml(to_yaml(config));
  for (std::string line; std::getline(yaml, line);) {
    const size_t begin = line.find_first_not_of(" -");
    const size_t colon = line.find(':');
    if (line.find_first_not_of(' ', colon + 1) == std::string::npos) continue;  // a section
    EXPECT_NE(reference.find("`" + line.substr(begin, colon - begin) + "`"), std::string::npos) << line;
  }
}

TEST_F(ConfigFiles, ExtendsMergesMapsAndReplacesLists) {
  write("base/base.yaml", kExample);
  write("base/middle.yaml", "extends: base.yaml\noptimizer: {beta1: 0.8}\n");
  const auto path = write("top.yaml",
                          "extends: base/middle.yaml\nrun: {name: top}\nstages: [{steps: 20}]\n"
                          "attention: {lighthouse: {dense_layers: []}}\nschedule:\n");
  const RunConfig config = load_config(path);
  EXPECT_EQ(config.run.name, "top");
  EXPECT_EQ(config.run.seed, 7);
  EXPECT_EQ(config.optimizer.beta1, 0.8);
  EXPECT_EQ(config.optimizer.learning_rate, 2e-3);
  EXPECT_EQ(config.schedule.warmup_steps, 10);
  EXPECT_EQ(config.stages.size(), 1U);
  EXPECT_TRUE(config.attention.lighthouse.dense_layers.empty());
  EXPECT_EQ(config.attention.lighthouse.top_k, 32);
}

TEST_F(ConfigFiles, MergeKeysAddMissingKeys) {
  const auto path = write("merged.yaml", R"(
run: {name: merged}
batch: &short {sequence_length: 128, global_batch_size: 4}
stages:
  - &first {name: a, steps: 5, rope_theta: 7.0, batch: {<<: *short, sequence_length: 64}}
  - {<<: *first, name: b}
  - name: c
    <<: [{steps: 9}, *first]
)");
  const RunConfig config = load_config(path);
  ASSERT_EQ(config.stages.size(), 3U);
  EXPECT_EQ(config.stages[0].batch, (BatchSection{64, 1, 4}));
  EXPECT_EQ(config.stages[1].name, "b");
  EXPECT_EQ(config.stages[1].steps, 5);
  EXPECT_EQ(config.stages[1].batch, (BatchSection{64, 1, 4}));
  EXPECT_EQ(config.stages[2].steps, 9);
  EXPECT_EQ(config.stages[2].rope_theta, 7);
}

TEST_F(ConfigFiles, MergeKeysMustNameMaps) {
  const auto path = write("merged.yaml", "run: {name: a}\nstages:\n  - {steps: 5, <<: 3}\n");
  const std::string why = refusal([&] { load_config(path); });
  EXPECT_NE(why.find("merged.yaml:3: << expects a map"), std::string::npos) << why;
}

TEST_F(ConfigFiles, SettingsChangeSingleValues) {
  const auto path = write("a.yaml", kExample);
  const RunConfig config =
      load_config(path, {"stages.0.steps=12", "stages.1.batch.sequence_length=512", "data.train.0.weight=3",
                         "run.name=x y", "attention.lighthouse.dense_layers=[0]", "hardware.peak_tflops=100",
                         "data.validation=*.bin", "optimizer={beta2: 0.99}", "run.seed=1", "run.seed=2"});
  EXPECT_EQ(config.stages[0].steps, 12);
  EXPECT_EQ(config.stages[0].batch.sequence_length, 1024);
  EXPECT_EQ(config.stages[1].batch, (BatchSection{512, 2, 8}));
  EXPECT_EQ(config.data.train[0].weight, 3);
  EXPECT_EQ(config.run.name, "x y");
  EXPECT_EQ(config.attention.lighthouse.dense_layers, (std::vector<int64_t>{0}));
  EXPECT_EQ(config.hardware.peak_tflops, 100);
  EXPECT_EQ(config.data.validation, "*.bin");
  EXPECT_EQ(config.optimizer.beta1, 0.9);
  EXPECT_EQ(config.optimizer.beta2, 0.99);
  EXPECT_EQ(config.run.seed, 2);

  EXPECT_EQ(load_config(path, {"data.train=[{path: x, weight: 1}]"}).data.train, (std::vector<DataSource>{{"x", 1}}));
  EXPECT_EQ(load_config(path, {"data.validation="}).data.validation, "");
}

TEST(Config, ShippedConfigsLoad) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LIGHTHOUSE_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    EXPECT_EQ(refusal([&] {
                const RunConfig config = load_config(entry.path());
                EXPECT_TRUE(parse_config(to_yaml(config), "") == config) << entry.path();
              }),
              "");
  }
  EXPECT_GE(files, 1);
}

TEST(Config, PaperRunHasThePapersValues) {
  const RunConfig config = load_config(LIGHTHOUSE_SOURCE_DIR "/configs/paper-530m-98k.yaml");
  EXPECT_EQ(config.total_steps(), 16000);
  EXPECT_NEAR(static_cast<double>(config.total_steps() * config.batch.tokens_per_step()), 50.3e9, 0.05e9);
  EXPECT_EQ(config.attention.lighthouse.shape(config.batch.sequence_length).gathered(), 18432);
  EXPECT_FALSE(config.attention.lighthouse.cover_prefix);
}

TEST(Load, APresetOnTheCommandLineReplacesTheModel) {
  const std::filesystem::path quickstart = LIGHTHOUSE_SOURCE_DIR "/configs/quickstart.yaml";
  const RunConfig config = load_config(quickstart, {"model.preset=paper-530m", "model.num_hidden_layers=2"});
  ModelConfig expected = *model_preset("paper-530m");
  expected.num_hidden_layers = 2;
  EXPECT_EQ(config.model, expected);
}

TEST(Load, AStagesFactorHasTwoNames) {
  const RunConfig config = parse_config("stages: [{steps: 1, learning_rate: 0.5}, {steps: 1}]", "");
  EXPECT_EQ(config.stages[0].learning_rate_factor, 0.5);
  EXPECT_EQ(config.stages[1].learning_rate_factor, 1);
}

/// As in the docs: the preset together with its default dense layers.
TEST(Load, TheTinyPresetHasLighthouseLayersByDefault) {
  const RunConfig config = parse_config(
      "model: {preset: tiny}\nbatch: {sequence_length: 98304}\n"
      "stages: [{name: pretrain, attention: lighthouse, steps: 1}, {name: recovery, attention: dense, steps: 1}]",
      "");
  EXPECT_GT(config.model.num_hidden_layers, static_cast<int64_t>(config.attention.lighthouse.dense_layers.size()));
}

// The tokenizer of a saved run may be missing; a missing tokenizer in a config file is an error.
TEST_F(ConfigFiles, TokenizerThatIsMissing) {
  const std::string text = "model: {tokenizer: none.model}\nstages: [{steps: 1}]\n";
  const auto path = write("a.yaml", text);
  EXPECT_NE(refusal([&] { load_config(path); }).find("a.yaml:1: model.tokenizer: "), std::string::npos);
  EXPECT_EQ(parse_config(text, "").model.tokenizer, "none.model");
}

TEST_F(ConfigFiles, HereIsTheFolderOfTheFile) {
  write("base/base.yaml",
        "run: {name: x, init_from: \"{here}\"}\ndata: {train: \"{here}/a-*.bin\", validation: \"{herein}\"}\n");
  write("run.yaml", "extends: base/base.yaml\nstages: [{attention: dense, steps: 1}]\n");
  const RunConfig config = load_config(folder_ / "run.yaml");
  EXPECT_EQ(config.run.init_from, (folder_ / "base").string());
  EXPECT_EQ(config.data.train.at(0).path, (folder_ / "base/a-*.bin").string());
  EXPECT_EQ(config.data.validation, "{herein}");
}

}  // namespace
}  // namespace lighthouse
