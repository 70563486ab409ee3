#include "lighthouse/hub/import.h"

#include <gtest/gtest.h>

#include <cstring>
#include <tuple>

#include "hugging_face_folder.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/hub/export.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kNorm = "model.norm.weight";
constexpr const char* kQuery = "model.layers.1.self_attn.q_proj.weight";

class ImportTest : public ::testing::Test {
 protected:
  ImportOptions options(const std::string& tokenizer = "bytes") const {
    return {source_.path, folder_ / "checkpoint", tokenizer, std::nullopt, std::nullopt};
  }
  std::string refused(const std::string& tokenizer = "bytes") const {
    const std::string message = message_of<InputError>([&] { import_hugging_face(options(tokenizer)); });
    EXPECT_FALSE(fs::exists(folder_ / "checkpoint"));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1) << "something was left behind";
    return message;
  }
  RunConfig imported_config() const { return parse_config(load_state(folder_ / "checkpoint").config, ""); }

  TemporaryFolder folder_;
  HuggingFaceFolder source_{folder_};
};

TEST_F(ImportTest, MakesACheckpointOfTheSameWeights) {
  const ImportResult result = import_hugging_face(options());
  EXPECT_EQ(result.model.unused_tokens, 272 - 257);
  EXPECT_EQ(result.max_position_embeddings, 64);
  const fs::path checkpoint = find_checkpoint(folder_ / "checkpoint");
  EXPECT_NO_THROW(verify_checkpoint(checkpoint));
  const RunConfig config = imported_config();
  EXPECT_EQ(config.model.rope_theta, 5000);
  EXPECT_EQ(config.model.token_count(), 257);
  EXPECT_EQ(config.model.num_key_value_heads, 2);

  Arena measuring;
  lay_out_parameters(measuring, MemoryUse::kWeights, config.model);
  Arena arena(measuring.used());
  const Parameters weights = lay_out_parameters(arena, MemoryUse::kWeights, config.model);
  load_weights(checkpoint, weights, config.model);
  for (const NamedParameter& named : hugging_face_views(weights, config.model)) {
    const Tensor& original = source_.tensors[source_.find(named.name)].tensor;
    EXPECT_EQ(std::memcmp(named.tensor.raw(), original.raw(), static_cast<size_t>(original.bytes())), 0) << named.name;
  }
}

TEST_F(ImportTest, AConfigMayExtendModelYaml) {
  import_hugging_face(options());
  write_file(folder_ / "run.yaml",
             "extends: checkpoint/model.yaml\nrun: {name: further}\nmodel: {rope_theta: 1.0e6}\n"
             "stages: [{steps: 3}]\n");
  const RunConfig config = load_config(folder_ / "run.yaml");
  EXPECT_EQ(config.run.init_from, (folder_ / "checkpoint").string());
  ModelConfig expected = imported_config().model;
  expected.rope_theta = 1e6;
  EXPECT_EQ(config.model, expected);
}

TEST_F(ImportTest, ModelYamlFindsACheckpointOfAnyName) {
  ImportOptions odd = options();
  for (const char* name : {"a #b", "a: b", "'{\"}"}) {
    odd.checkpoint = folder_ / name;
    import_hugging_face(odd);
    write_file(folder_.path() / name / "run.yaml", "extends: model.yaml\nstages: [{steps: 3}]\n");
    EXPECT_EQ(load_config(folder_.path() / name / "run.yaml").run.init_from, odd.checkpoint.string());
  }
}

TEST_F(ImportTest, OptionsReplaceTheRotaryEmbedding) {
  ImportOptions changed = options();
  changed.rope_theta = 2e6;
  changed.rope_scaling = RopeScaling{RopeScalingKind::kLinear, 4};
  import_hugging_face(changed);
  EXPECT_EQ(imported_config().model.rope_theta, 2e6);
  EXPECT_EQ(imported_config().model.rope_scaling.kind, RopeScalingKind::kLinear);
  EXPECT_EQ(imported_config().stages[0].rope_theta, 2e6);
}

TEST_F(ImportTest, ReadsOldAndNewKeysOfScaling) {
  const Json llama3{
      {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 16}};
  for (const auto& [key, type] : {std::pair("rope_scaling", "type"), std::pair("rope_scaling", "rope_type"),
                                  std::pair("rope_parameters", "rope_type")}) {
    source_.config.erase("rope_scaling");
    Json scaling = llama3;
    scaling[type] = "llama3";
    if (std::string(key) == "rope_parameters") scaling["rope_theta"] = 77.0;
    source_.write_config(key, scaling);
    import_hugging_face(options());
    const ModelConfig model = imported_config().model;
    EXPECT_EQ(model.rope_scaling, (RopeScaling{RopeScalingKind::kLlama3, 8, 1, 4, 16}));
    EXPECT_EQ(model.rope_theta, std::string(key) == "rope_parameters" ? 77 : 5000);
    fs::remove_all(folder_ / "checkpoint");
  }
}

TEST_F(ImportTest, RefusesIncompleteOrAmbiguousScaling) {
  for (const auto& [scaling, word] : std::vector<std::pair<Json, std::string>>{
           {{{"type", "linear"}}, "rope_scaling: factor is missing"},
           {{{"rope_type", "llama3"}, {"factor", 8.0}}, "low_freq_factor is missing"},
           {{{"type", "linear"}, {"factor", 0.5}}, "model.rope_scaling.factor is 0.5"}}) {
    source_.write_config("rope_scaling", scaling);
    EXPECT_TRUE(contains(refused(), word)) << scaling;
  }
  EXPECT_FALSE(contains(refused(), ".json:")) << "a line that nobody has seen";
  source_.config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5000.0}};
  source_.write_config("rope_scaling", {{"type", "linear"}, {"factor", 2.0}});
  EXPECT_TRUE(contains(refused(), "rope_parameters and rope_scaling have different types"));
}

TEST_F(ImportTest, ReadsAConfigWithoutArchitectures) {
  source_.write_config("architectures", nullptr);
  EXPECT_NO_THROW(import_hugging_face(options()));
}

TEST_F(ImportTest, RefusesDeeplyNestedJson) {
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  const std::string config = read_file(source_.path / "config.json");
  write_file(source_.path / "config.json", R"({"model_type": "llama", "vocab_size": )" + deep + "}");
  EXPECT_TRUE(contains(refused(), "not a JSON object"));
  write_file(source_.path / "config.json", config);
  write_file(source_.path / "tokenizer.json", R"({"model": {"vocab": {}}, "decoder": )" + deep + "}");
  EXPECT_TRUE(contains(refused(""), "not a JSON object with"));
}

TEST_F(ImportTest, RefusesOtherModels) {
  for (const auto& [key, value, word] : std::vector<std::tuple<std::string, Json, std::string>>{
           {"model_type", "qwen2", "\"qwen2\""},
           {"model_type", "mistral", "MistralForCausalLM"},
           {"architectures", {"LlamaForSequenceClassification"}, "LlamaForCausalLM"},
           {"attention_bias", true, "attention_bias"},
           {"mlp_bias", true, "mlp_bias"},
           {"hidden_act", "gelu", "\"gelu\""},
           {"head_dim", 16, "expected [64, 32]"},
           {"head_dim", 12, "head_dim is 12"},
           {"quantization_config", {{"bits", 4}}, "quantised"},
           {"partial_rotary_factor", 0.5, "partial_rotary_factor is 0.5"},
           {"rope_scaling", {{"type", "yarn"}, {"factor", 2.0}}, "\"yarn\""},
           {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2.0}}, "(rope_scaling) is of type \"yarn\""},
           {"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}, "\"dynamic\""},
           {"rope_scaling", {{"type", "longrope"}, {"short_factor", {1.0}}, {"long_factor", {1.0}}}, "\"longrope\""},
           {"rope_parameters", {{"rope_type", "su"}}, "(rope_parameters) is of type \"su\""},
           {"rope_scaling", 3, "rope_scaling is 3"},
           {"vocab_size", "many", "vocab_size is \"many\""},
           {"hidden_size", -32, "hidden_size is -32"},
           {"num_hidden_layers", 99999999999, "num_hidden_layers"},
           {"num_hidden_layers", 5000, "num_hidden_layers"},
           {"num_key_value_heads", 3, "num_key_value_heads"},
           {"rms_norm_eps", "small", "rms_norm_eps"},
           {"vocab_size", nullptr, "vocab_size is missing"},
           {"vocab_size", 100, "257 tokens"}}) {
    const Json before = source_.config;
    source_.write_config(key, value);
    const std::string message = refused();
    EXPECT_TRUE(contains(message, word)) << key;
    EXPECT_TRUE(contains(message, source_.path.string())) << key;
    source_.config = before;
  }
}

TEST_F(ImportTest, RefusesOtherPaths) {
  fs::remove(source_.path / "config.json");
  EXPECT_TRUE(contains(refused(), "no config.json"));
  write_file(source_.path / "config.json", "{");
  EXPECT_TRUE(contains(refused(), "not a JSON object"));
  source_.write();
  fs::remove(source_.path / "model.safetensors");
  EXPECT_TRUE(contains(refused(), "neither model.safetensors nor"));
}

TEST_F(ImportTest, RefusesTensorsThatAreMissingExtraOrWrong) {
  const std::vector<NamedTensor> sound = source_.tensors;
  source_.tensors.erase(source_.tensors.begin() + static_cast<ptrdiff_t>(source_.find(kQuery)));
  source_.write();
  EXPECT_TRUE(contains(refused(), kQuery));

  source_.tensors = sound;
  source_.tensors.push_back({"model.layers.2.mlp.up_proj.weight", sound[1].tensor});
  source_.write();
  EXPECT_TRUE(contains(refused(), "model.layers.2.mlp.up_proj.weight"));

  source_.tensors = sound;
  Tensor& norm = source_.tensors[source_.find(kNorm)].tensor;
  norm = norm.slice(0, 0, 31);
  source_.write();
  EXPECT_TRUE(contains(refused(), "model.norm.weight is [31]; expected [32]"));

  source_.tensors = sound;
  std::vector<double> wide(32, 1.0);
  source_.tensors[source_.find(kNorm)].tensor = Tensor(wide.data(), {32}, DType::kFloat64);
  source_.write();
  EXPECT_TRUE(contains(refused(), "model.norm.weight is float64"));

  source_.tensors = sound;
  source_.tensors.erase(source_.tensors.begin() + static_cast<ptrdiff_t>(source_.find("lm_head.weight")));
  source_.write();
  EXPECT_TRUE(contains(refused(), "tie_word_embeddings"));
}

TEST_F(ImportTest, AcceptsATiedOutputThatIsStored) {
  source_.config["tie_word_embeddings"] = true;
  const size_t head = source_.find("lm_head.weight");
  source_.write();
  EXPECT_TRUE(contains(refused(), "differs from model.embed_tokens.weight"));
  source_.tensors[head].tensor = source_.tensors[source_.find("model.embed_tokens.weight")].tensor;
  source_.write();
  import_hugging_face(options());
  EXPECT_FALSE(open_weights(folder_ / "checkpoint").has("lm_head.weight"));
}

TEST_F(ImportTest, RefusesDamagedFiles) {
  const std::string bytes = read_file(source_.path / "model.safetensors");
  for (size_t length : {size_t{0}, size_t{7}, size_t{8}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_file(source_.path / "model.safetensors", bytes.substr(0, length));
    EXPECT_TRUE(contains(refused(), "model.safetensors")) << length;
  }
}

TEST_F(ImportTest, RefusesAWrongIndex) {
  const fs::path index = source_.path / "model.safetensors.index.json";
  fs::rename(source_.path / "model.safetensors", source_.path / "whole.safetensors");
  for (const auto& [text, word] : std::vector<std::pair<std::string, std::string>>{
           {"{", "no weight_map"},
           {R"({"weight_map": {"model.norm.weight": 3}})", "model.norm.weight"},
           {R"({"weight_map": {"model.norm.weight": "../hf/whole.safetensors"}})", "not a file of this folder"},
           {R"({"weight_map": {"model.norm.weight": "none.safetensors"}})", "none.safetensors"},
           {R"({"weight_map": {"model.nothing": "whole.safetensors"}})", "does not contain it"}}) {
    write_file(index, text);
    EXPECT_TRUE(contains(refused(), word)) << text;
  }
  fs::copy(source_.path / "whole.safetensors", source_.path / "again.safetensors");
  write_file(index,
             R"({"weight_map": {"model.norm.weight": "again.safetensors", "lm_head.weight": "whole.safetensors"}})");
  EXPECT_TRUE(contains(refused(), "both contain"));
}

TEST_F(ImportTest, PrefersASingleFileToAnIndexLikeTransformers) {
  write_file(source_.path / "model.safetensors.index.json",
             R"({"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}})");
  EXPECT_NO_THROW(import_hugging_face(options()));
}

TEST_F(ImportTest, RefusesATokenizerWithMoreTokens) {
  EXPECT_TRUE(contains(refused(""), "has no tokenizer"));
  Json vocabulary;
  for (int i = 0; i < 300; ++i) vocabulary[std::to_string(i)] = i;
  const Json json{{"decoder", {{"type", "ByteLevel"}}},
                  {"added_tokens", {{{"id", 300}, {"content", "</s>"}, {"special", true}}}},
                  {"model", {{"type", "BPE"}, {"vocab", vocabulary}}}};
  write_file(source_.path / "tokenizer.json", json.dump());
  EXPECT_TRUE(contains(refused(""), "301 tokens"));
}

TEST_F(ImportTest, OverwritesNothing) {
  import_hugging_face(options());
  const std::string before = read_file(folder_ / "checkpoint" / "state.json");
  EXPECT_TRUE(contains(message_of<InputError>([&] { import_hugging_face(options()); }), "already exists"));
  EXPECT_EQ(read_file(folder_ / "checkpoint" / "state.json"), before);
}

TEST_F(ImportTest, HasNoStateToResumeFrom) {
  import_hugging_face(options());
  const ModelConfig model = imported_config().model;
  Arena measuring;
  const Parameters parameters = lay_out_parameters(measuring, MemoryUse::kWeights, model);
  const std::string message = message_of<InputError>([&] {
    load_optimizer_state(folder_ / "checkpoint", {{"exp_avg", parameters.flat, unsharded(model)}}, model);
  });
  EXPECT_TRUE(contains(message, "weights alone"));
  EXPECT_TRUE(contains(message, "init_from"));
}

}  // namespace
}  // namespace lighthouse
