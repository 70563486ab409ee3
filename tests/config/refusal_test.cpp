// Invalid configs: each is refused with a message that says where, what, and what would work.
#include <fmt/format.h>

#include <random>

#include "config_test.h"
#include "lighthouse/config/load.h"

namespace lighthouse {
namespace {

struct Refused {
  const char* yaml;
  std::vector<const char*> message;  // parts of the message
};

/// Passes if `message` has all parts.
void expect_parts(const std::string& message, const std::vector<const char*>& parts, const std::string& input) {
  EXPECT_NE(message, "") << "was accepted:\n" << input;
  for (const char* part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in:\n  " << message << "\nfor:\n"
                                                     << input;
  }
}

/// Puts the text after a valid first line, so that it begins in line 2.
void expect_refused(const std::vector<Refused>& cases) {
  for (const Refused& refused : cases) {
    const std::string text = std::string("stages: [{steps: 10}]\n") + refused.yaml;
    expect_parts(refusal([&] { parse_config(text, "a.yaml"); }), refused.message, text);
  }
}

TEST(Refusal, InvalidYaml) {
  expect_refused({
      {"run: {name: x", {"a.yaml:", "not valid YAML"}},
      {"run: name: x", {"a.yaml:2:", "not valid YAML"}},
      {"run: *unknown", {"a.yaml:2:", "not valid YAML"}},
      {"run:\n\tname: x", {"a.yaml:3:", "not valid YAML"}},
      {"run: {seed: 1}\nbatch: {}\nrun: {seed: 2}", {"a.yaml:4:", "\"run\"", "duplicate key", "a.yaml:2"}},
      {"optimizer:\n  beta1: 0.5\n  beta1: 0.6", {"a.yaml:4:", "\"beta1\"", "duplicate key", "a.yaml:3"}},
      {"? [a, b]\n: 1", {"a.yaml:2:", "key must be a single word"}},
      {"---\nrun: {}", {"a.yaml:", "more than one YAML document"}},
      {"run: {name: \"\xff\xfe\"}", {"a.yaml:2:", "UTF-8"}},
      {"extends: other.yaml", {"a.yaml:2:", "extends is allowed only in a config file"}},
  });
  expect_parts(refusal([] { parse_config("- a", "a.yaml"); }), {"a.yaml:1", "map of sections", "list"}, "- a");
  expect_parts(refusal([] { parse_config("", "a.yaml"); }), {"a.yaml:1", "stages", "at least one stage"}, "");
  expect_parts(refusal([] { parse_config("stages: [{step: 1}]", ""); }), {"line 1: "}, "no origin");
}

TEST(Refusal, UnknownKeys) {
  expect_refused({
      {"optimizer:\n  beta1: 0.9\n  learning_rat: 1",
       {"a.yaml:4: unknown key \"learning_rat\" in optimizer", "did you mean \"learning_rate\"?",
        "(keys: name, learning_rate,"}},
      {"optimiser: {}", {"a.yaml:2: unknown key \"optimiser\" in the config", "did you mean \"optimizer\"?"}},
      {"optimizer: {seed: 1}", {"a.yaml:2:", "unknown key \"seed\"", "did you mean \"run.seed\"?"}},
      {"lighthouse: {top_k: 1}", {"unknown key \"lighthouse\"", "did you mean \"attention.lighthouse\"?"}},
      {"attention: {lighthouse: {topk: 1}}", {"in attention.lighthouse", "did you mean \"top_k\"?"}},
      {"run: {xyzzyplugh: 1}", {"unknown key \"xyzzyplugh\" in run (keys: name, directory,"}},
      {"data: {train: [{path: x, wieght: 2}]}", {"a.yaml:2:", "in data.train.0", "did you mean \"weight\"?"}},
  });
  expect_parts(refusal([] { parse_config("stages:\n  - steps: 1\n    attenton: dense", "a.yaml"); }),
               {"a.yaml:3:", "\"attenton\" in stages.0", "\"attention\""}, "stage");
  expect_parts(refusal([] { parse_config("stages:\n  - steps: 1\n    learning_rate: 1.0e-3", "a.yaml"); }),
               {"a.yaml:3:", "stages.0.learning_rate is 1.0e-3", "from 0.01"}, "stage");
  expect_parts(refusal([] {
                 parse_config("stages:\n  - steps: 1\n    learning_rate: 1\n    learning_rate_factor: 1", "a.yaml");
               }),
               {"a.yaml:3:", "stages.0.learning_rate and learning_rate_factor are the same"}, "stage");
}

TEST(Refusal, WrongTypes) {
  expect_refused({
      {"batch: {sequence_length: 4k}",
       {"a.yaml:2: batch.sequence_length is \"4k\"; expected a whole number from 1 to 1073741824"}},
      {"batch: {sequence_length: 1e5}", {"is 1e5; expected a whole number", "write 100000"}},
      {"batch: {sequence_length: 4_096}", {"is \"4_096\"", "write 4096"}},
      {"batch:\n  sequence_length: '4096'", {"a.yaml:3:", "is \"4096\" in quotes", "whole number"}},
      {"batch: {sequence_length: 1.5}", {"is 1.5; expected a whole number"}},
      {"batch: {sequence_length: 99999999999999999999}", {"expected a whole number"}},
      {"batch: {sequence_length: [1]}", {"is a list; expected a whole number"}},
      {"batch: {sequence_length: }", {"has no value; expected a whole number"}},
      {"batch: [1, 2]", {"a.yaml:2: batch is a list; expected a map"}},
      {"batch: 5", {"batch is 5; expected a map"}},
      {"optimizer: {beta1: abc}", {"optimizer.beta1 is \"abc\"; expected a number from 0 to below 1"}},
      {"optimizer: {beta1: .nan}", {"optimizer.beta1 is \".nan\"; expected a number"}},
      {"optimizer: {learning_rate: nan}", {"expected a number above 0"}},
      {"optimizer: {learning_rate: inf}", {"expected a number above 0"}},
      {"optimizer: {learning_rate: 1e999}", {"expected a number above 0"}},
      {"model: {tie_word_embeddings: yes}", {"model.tie_word_embeddings is \"yes\"; expected true or false"}},
      {"attention: {lighthouse: {cover_prefix: 1}}", {"cover_prefix is 1; expected true or false"}},
      {"attention: {lighthouse: {dense_layers: 0}}", {"dense_layers is 0; expected a list of whole numbers"}},
      {"attention: {lighthouse: {dense_layers: [0, x]}}", {"dense_layers.1 is \"x\"; expected a whole number"}},
      {"run: {name: }", {"run.name has no value; expected text"}},
      {"run: {name: {a: b}}", {"run.name is a map; expected text"}},
      {"run: {name: \"a\\nb\"}", {"run.name has line breaks"}},
      {"data: {train: {path: [x]}}", {"data.train.path is a list; expected text"}},
      {"data: {train: [[x]]}", {"data.train.0 is a list; expected text or a map"}},
      {"data: {train: [{weight: 1}]}", {"data.train.0.path is missing"}},
  });
  expect_parts(refusal([] { parse_config("stages: 5", "a.yaml"); }), {"a.yaml:1: stages is 5; expected a list"}, "");
  expect_parts(refusal([] { parse_config("stages: {steps: 5}", ""); }), {"stages is a map; expected a list"}, "");
  expect_parts(refusal([] { parse_config("stages:\n  - 5", "a.yaml"); }), {"a.yaml:2: stages.0 is 5"}, "");
}

TEST(Refusal, ValuesOutOfRange) {
  expect_refused({
      {"batch: {sequence_length: 0}", {"batch.sequence_length is 0; expected a whole number from 1"}},
      {"batch: {sequence_length: -5}", {"batch.sequence_length is -5; expected a whole number from 1"}},
      {"optimizer: {beta1: 1}", {"a.yaml:2: optimizer.beta1 is 1; expected a number from 0 to below 1"}},
      {"optimizer: {beta2: -0.1}", {"optimizer.beta2 is -0.1"}},
      {"optimizer: {epsilon: 0}", {"optimizer.epsilon is 0; expected a number above 0"}},
      {"optimizer: {learning_rate: 0}", {"optimizer.learning_rate is 0; expected a number above 0"}},
      {"schedule: {min_ratio: 1.1}", {"schedule.min_ratio is 1.1; expected a number from 0 to 1"}},
      {"run: {seed: -1}", {"run.seed is -1; expected a whole number, at least 0"}},
      {"run: {device: gpu}", {"run.device is \"gpu\"; expected one of auto, cpu, cuda"}},
      {"schedule: {decay: cosin}", {"schedule.decay is \"cosin\"", "constant, linear, cosine", "mean \"cosine\"?"}},
      {"optimizer: {name: sgd}", {"optimizer.name is \"sgd\"; expected \"adamw\""}},
      {"model: {preset: tinny}", {"a.yaml:2: model.preset is \"tinny\"", "paper-530m", "did you mean \"tiny\"?"}},
      {"model: {tokenizer: gpt2}", {"a.yaml:2: model.tokenizer", "gpt2"}},
      {"model: {vocab_size: 256}", {"a.yaml:2: model.vocab_size is 256; expected at least 257", "bytes"}},
      {"attention: {lighthouse: {scorer: gla}}", {"a.yaml:2:", "\"gla\"", "not implemented", "norm, dilated"}},
      {"attention: {window: -1}", {"a.yaml:2: attention.window is -1; expected a whole number from 0"}},
      {"attention: {lighthouse: {window: -1}}", {"a.yaml:2: attention.lighthouse.window is -1"}},
      {"attention: {lighthouse: {window_every: -2}}", {"attention.lighthouse.window_every is -2"}},
      {"model: {sliding_window: -1}", {"a.yaml:2: model.sliding_window is -1"}},
      {"attention: {lighthouse: {levels: 1}}", {"levels is 1; expected a whole number from 2"}},
      {"data: {train: [{path: x, weight: 0}]}", {"data.train.0.weight is 0; expected a number above 0"}},
      {"data: {train: \"\"}", {"data.train", "expected text that is not empty"}},
      {"evaluation: {batches: 0}", {"evaluation.batches is 0"}},
  });
  expect_parts(refusal([] { parse_config("stages:\n  - steps: 0", "a.yaml"); }), {"a.yaml:2: stages.0.steps is 0"}, "");
  expect_parts(refusal([] { parse_config("stages:\n  - name: x", "a.yaml"); }), {"a.yaml:2: stages.0.steps is missing"},
               "");
}

TEST(Refusal, InconsistentSettings) {
  expect_refused({
      {"run: {name: a/b}", {"a.yaml:2: run.name is \"a/b\"", "without \"/\""}},
      {"run:\n  init_from: a\n  branch_from: b",
       {"a.yaml:4:", "run.init_from and run.branch_from are mutually exclusive"}},
      {"model: {hidden_size: 130}", {"a.yaml:2: model: hidden_size 130", "128 or 160"}},
      {"model: {num_attention_heads: 32}", {"hidden_size 128", "multiple of 8", "256"}},
      {"model: {full_attention_layers: [0]}", {"a.yaml:2: model: full_attention_layers", "sliding_window", "not set"}},
      {"model: {sliding_window: 64, num_hidden_layers: 4, full_attention_layers: [-5]}",
       {"a.yaml:2: model: full_attention_layers names layer -5", "4 layers"}},
      {"model: {num_key_value_heads: 3}", {"num_key_value_heads 3 does not divide num_attention_heads 4"}},
      {"model: {vocab_size: 300, unused_tokens: 50}",
       {"a.yaml:2: model.vocab_size is 300, of which 50 are unused; expected at least 257"}},
      {"model: {vocab_size: 300, unused_tokens: 300}", {"a.yaml:2: model: unused_tokens is 300; expected 0 to 299"}},
      {"model: {rope_scaling: {type: llama3, low_freq_factor: 4}}", {"low_freq_factor is 4 and high_freq_factor 4"}},
      {"batch: {micro_batch_size: 4, global_batch_size: 10}",
       {"a.yaml:2: batch.global_batch_size is 10, not a multiple of micro_batch_size (4)", "8 or 12"}},
      {"batch: {micro_batch_size: 4}", {"batch.global_batch_size is 1", "nearest multiple is 4"}},
      {"schedule: {warmup_steps: 11}", {"a.yaml:2: schedule.warmup_steps is 11, but the run has 10 steps"}},
      {"model: {num_hidden_layers: 4096, hidden_size: 1048576, intermediate_size: 1048576}\n"
       "batch: {sequence_length: 1073741824, micro_batch_size: 1048576, global_batch_size: 1048576}",
       {"memory; expected at most"}},
  });
}

/// A config whose third line is its only stage, after matching settings.
std::string with_stage(const std::string& stage, const std::string& lighthouse = "top_k: 32, tile: 16") {
  return "batch: {sequence_length: 1024}\nattention: {lighthouse: {dense_layers: [0], " + lighthouse + "}}\nstages: [" +
         stage + "]\n";
}

TEST(Refusal, Stages) {
  const std::vector<std::pair<std::string, std::vector<const char*>>> cases = {
      {"stages: []", {"a.yaml:1: stages is empty"}},
      {with_stage("{steps: 1, dense_every: 4}"),
       {"a.yaml:3: stages.0.dense_every is 4", "all steps of the stage are dense"}},
      {with_stage("{steps: 1, attention: lighthouse, dense_every: 1}"),
       {"a.yaml:3:", "dense_every is 1", "at least 2"}},
      {with_stage("{steps: 1, name: a}, {steps: 2, name: a}"), {"a.yaml:3: stages.1.name is \"a\""}},
      {with_stage("{steps: 1, attention: lighthouse, data: {document_mask: attention}}"),
       {"a.yaml:3: stages.0.data.document_mask is attention", "attention: dense"}},
      {with_stage("{steps: 1, attention: flash}"),
       {"stages.0.attention is \"flash\"; expected one of dense, window, lighthouse"}},
      {with_stage("{steps: 1, batch: {micro_batch_size: 2}}"), {"stages.0.batch.global_batch_size is 1"}},
      {with_stage("{steps: 1000000000000, batch: {global_batch_size: 1048576}}"), {"stages", "tokens in all"}},
      {with_stage("{steps: 1, attention: lighthouse, batch: {sequence_length: 1023}}"),
       {"a.yaml:2: attention.lighthouse in stage \"lighthouse-0\" (stages.0, sequence_length 1023)"}},
      {with_stage("{steps: 1, attention: lighthouse}", "top_k: 40, tile: 16"), {"a.yaml:2:", "40"}},
      {with_stage("{steps: 1, attention: lighthouse}", "tile: 15, top_k: 30"), {"a.yaml:2:", "15"}},
      {with_stage("{steps: 1, attention: lighthouse}", "levels: 31, pooling_factor: 1048576"),
       {"a.yaml:2:", "pooling_factor^(levels-1)", "1048576^30", "levels 2"}},
      {with_stage("{steps: 1, attention: lighthouse}", "top_k: 32, tile: 16, scorer: dilated, dilation: 7"),
       {"a.yaml:2:", "dilation 7 does not divide", "is 4"}},
      {"model: {num_hidden_layers: 4}\nattention: {lighthouse: {top_k: 32, tile: 16}}\n"
       "stages: [{steps: 1, attention: lighthouse}]",
       {"a.yaml:2:", "dense_layers [0, 1, -2, -1] makes all 4 layers", "[0, -1]"}},
      {with_stage("{steps: 1, attention: window}"),
       {"a.yaml:2: attention in stage \"window-0\" (stages.0, sequence_length 1024)", "attention.window", "not set"}},
      {"attention: {window: 64}\nstages: [{steps: 1, attention: window, dense_every: 1}]",
       {"a.yaml:2: stages.0.dense_every is 1", "at least 2"}},
      {with_stage("{steps: 1, attention: lighthouse}", "top_k: 32, tile: 16, window_layers: [-1]"),
       {"a.yaml:2: attention.lighthouse in stage", "attention.window", "not set"}},
      {with_stage("{steps: 1, attention: lighthouse}", "top_k: 32, tile: 16, window_every: 2"),
       {"a.yaml:2:", "attention.window", "not set"}},
      {"attention: {window: 64, lighthouse: {top_k: 32, tile: 16, dense_layers: [0], window_layers: [99]}}\n"
       "stages: [{steps: 1, attention: lighthouse}]",
       {"a.yaml:1:", "window_layers names layer 99"}},
      {"attention: {window: 64, lighthouse: {top_k: 32, tile: 16, dense_layers: [0], window_layers: [1, 0]}}\n"
       "stages: [{steps: 1, attention: lighthouse}]",
       {"a.yaml:1:", "layer 0 is in dense_layers and in window_layers"}},
      {"attention: {window: 64, lighthouse: {top_k: 32, tile: 16, window_every: 1}}\n"
       "stages: [{steps: 1, attention: lighthouse}]",
       {"a.yaml:1:", "window_every 1", "attention: window"}},
      {"model: {num_hidden_layers: 4, sliding_window: 64}\nattention: {lighthouse: {top_k: 32, tile: 16, "
       "dense_layers: [0]}}\nstages: [{steps: 1, attention: lighthouse}]",
       {"a.yaml:1: attention.lighthouse in stage", "model.sliding_window 64", "attention: dense"}},
      {"model: {num_hidden_layers: 4, sliding_window: 64, full_attention_layers: [0]}\nattention: {lighthouse: {top_k: "
       "32, tile: 16, dense_layers: [0]}}\nstages: [{steps: 1, attention: lighthouse}]",
       {"a.yaml:1:", "model.sliding_window 64"}},
      {"model: {num_hidden_layers: 4}\nattention: {lighthouse: {top_k: 32, tile: 16, dense_layers: [4]}}\n"
       "stages: [{steps: 1, attention: lighthouse}]",
       {"a.yaml:2:", "layer 4", "4 layers"}},
  };
  for (const auto& [text, parts] : cases) {
    expect_parts(refusal([&, &yaml = text] { parse_config(yaml, "a.yaml"); }), parts, text);
  }
  EXPECT_EQ(refusal([] { parse_config(with_stage("{steps: 1, attention: lighthouse}"), ""); }), "");
}

TEST_F(ConfigFiles, Extends) {
  const auto missing = write("missing.yaml", "run: {}\nextends: nowhere.yaml\n");
  expect_parts(refusal([&] { load_config(missing); }), {"missing.yaml:2: extends", "nowhere.yaml does not exist"}, "");
  const auto loop = write("a.yaml", "extends: b.yaml\n");
  write("b.yaml", "extends: a.yaml\n");
  expect_parts(refusal([&] { load_config(loop); }), {"b.yaml:1: extends", "a.yaml extends itself"}, "");
  const auto list = write("list.yaml", "extends: [b.yaml]\n");
  expect_parts(refusal([&] { load_config(list); }), {"list.yaml:1: extends expects"}, "");
  write("base.yaml", "stages: [{steps: 1}]\noptimizer:\n  beta1: 2\n");
  const auto top = write("top.yaml", "extends: base.yaml\nrun: {name: x}\n");
  expect_parts(refusal([&] { load_config(top); }), {"base.yaml:3: optimizer.beta1 is 2"}, "");
}

TEST_F(ConfigFiles, OtherFiles) {
  expect_parts(refusal([&] { load_config(folder_ / "none.yaml"); }), {"none.yaml does not exist"}, "");
  expect_parts(refusal([&] { load_config(folder_); }), {"a folder"}, "");
  expect_parts(refusal([&] { load_config(write("big", std::string(2 << 20, '#'))); }), {"expected a config of at most"},
               "");
  expect_parts(refusal([&] { load_config(write("zeros", std::string(1024, '\0'))); }), {"zeros:1: not UTF-8"}, "");
}

TEST_F(ConfigFiles, Settings) {
  const auto path = write("a.yaml", kExample);
  const std::vector<std::pair<const char*, std::vector<const char*>>> cases = {
      {"optimizer.beta1=2", {"--set optimizer.beta1=2: optimizer.beta1 is 2; expected a number from 0 to below 1"}},
      {"optimizer.beta3=2", {"--set optimizer.beta3=2: unknown key \"beta3\" in optimizer; did you mean \"beta1\"?"}},
      {"stages.2.steps=1", {"--set stages.2.steps=1: stages is a list of 2, numbered 0 to 1"}},
      {"stages.last.steps=1", {"stages is a list of 2", "\"last\""}},
      {"run.name.x=1", {"run.name is a single value (\"example\", "}},
      {"run.name", {"--set run.name: expected key.path=value"}},
      {"=1", {"expected key.path=value"}},
      {"run..name=1", {"empty part"}},
      {"run.name=[1", {"--set run.name=[1: not valid YAML"}},
      {"extends=b.yaml", {"extends is allowed only in a config file"}},
      {"schedule.warmup_steps=151", {"--set schedule.warmup_steps=151: schedule.warmup_steps is 151"}},
      {"run.name=~", {"run.name has no value"}},
  };
  for (const auto& [setting, parts] : cases) {
    expect_parts(refusal([&, text = setting] { load_config(path, {text}); }), parts, setting);
  }
}

TEST_F(ConfigFiles, SettingThatEveryStageOverrides) {
  const auto path = write("resolved.yaml", to_yaml(parse_config(kExample, "")));
  expect_parts(refusal([&] { load_config(path, {"batch.sequence_length=2048"}); }),
               {"has no effect", "stages.0.batch.sequence_length"}, "");
  expect_parts(refusal([&] { load_config(path, {"model.rope_theta=2048"}); }), {"has no effect", "stages.0.rope_theta"},
               "");
  EXPECT_EQ(refusal([&] { load_config(path, {"stages.0.batch.sequence_length=2048"}); }), "");
}

TEST(Refusal, YamlBombsAndDeepNesting) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += fmt::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 10; ++j) bomb += fmt::format("{}*a{}", j == 0 ? "" : ", ", i - 1);
    bomb += "]\n";
  }
  expect_parts(refusal([&] { parse_config(bomb, "a.yaml"); }), {"a.yaml:", "too large"}, "bomb");
  expect_parts(refusal([] { parse_config("a: &a [*a]", "a.yaml"); }), {"a.yaml:1:", "too deep"}, "itself");
  for (const char* open : {"[", "{a: ", "- ", "? "}) {
    std::string deep = "a: ";
    if (open[0] != '[' && open[0] != '{') deep = "a:\n  ";
    for (int i = 0; i < 20000; ++i) deep += open;
    EXPECT_NE(refusal([&] { parse_config(deep, "a.yaml"); }), "") << open;
  }
}

TEST(Refusal, MutatedConfigsThrowOnlyInputError) {
  std::mt19937 random(1);
  const std::string alphabet = "{}[]:,-&*!?|>'\"#%@ \n\t0123456789eE.+_~ax\\\xc3\xff";
  int accepted = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string text = kExample;
    for (unsigned change = 0; change < 1 + random() % 3; ++change) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 4);
          break;
        default:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
    }
    try {
      const RunConfig config = parse_config(text, "a.yaml");
      ++accepted;
      EXPECT_TRUE(parse_config(to_yaml(config), "") == config) << text;
    } catch (const InputError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("a.yaml:")) << error.what() << "\n" << text;
    }
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace lighthouse
