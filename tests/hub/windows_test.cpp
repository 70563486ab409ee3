// Import and export of models with their own windows.
#include <gtest/gtest.h>

#include <tuple>

#include "hugging_face_folder.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/hub/export.h"
#include "lighthouse/hub/import.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const char* const kSliding = "sliding_attention";
const char* const kFull = "full_attention";

/// Keys of config.json to set; a discarded value removes the key.
using Keys = std::vector<std::pair<std::string, Json>>;
const Json kRemoved = Json(Json::value_t::discarded);

class Windows : public ::testing::Test {
 protected:
  void set(const Keys& keys) {
    source_.config = valid_;
    for (const auto& [key, value] : keys) {
      if (value.is_discarded()) {
        source_.config.erase(key);
      } else {
        source_.config[key] = value;
      }
    }
    source_.write();
  }
  static Keys mistral(const Keys& more, const std::string& type = "mistral") {
    Keys keys{{"model_type", type},
              {"architectures", {type == "mistral" ? "MistralForCausalLM" : "MinistralForCausalLM"}}};
    keys.insert(keys.end(), more.begin(), more.end());
    return keys;
  }
  ModelConfig imported(const Keys& keys) {
    set(keys);
    fs::remove_all(folder_ / "checkpoint");
    import_hugging_face({source_.path, folder_ / "checkpoint", "bytes", std::nullopt, std::nullopt});
    return parse_config(load_state(folder_ / "checkpoint").config, "").model;
  }
  std::vector<int64_t> windows(const Keys& keys) { return imported(keys).sliding_windows(); }
  std::string refused(const Keys& keys) {
    set(keys);
    const std::string message = message_of<InputError>([&] {
      import_hugging_face({source_.path, folder_ / "refused", "bytes", std::nullopt, std::nullopt});
    });
    EXPECT_FALSE(fs::exists(folder_ / "refused"));
    EXPECT_TRUE(contains(message, source_.path.string())) << message;
    return message;
  }
  /// The config.json after importing `keys` and exporting.
  Json exported(const Keys& keys) {
    imported(keys);
    fs::remove_all(folder_ / "exported");
    const ExportResult result =
        export_hugging_face({folder_ / "checkpoint", folder_ / "exported", std::nullopt, 1 << 30, ""});
    const Json json = Json::parse(read_file(folder_ / "exported" / "config.json"));
    EXPECT_EQ(json.at("architectures"), Json::array({result.architecture}));
    EXPECT_EQ(read_file(folder_ / "exported" / "model.safetensors"), read_file(source_.path / "model.safetensors"));
    return json;
  }

  TemporaryFolder folder_;
  HuggingFaceFolder source_{folder_};
  const Json valid_ = source_.config;  // two layers, sequences of 64
};

TEST_F(Windows, OfAMistralAreInEveryLayer) {
  EXPECT_EQ(windows(mistral({{"sliding_window", 16}})), (std::vector<int64_t>{16, 16}));
  EXPECT_EQ(windows(mistral({{"sliding_window", 16}, {"architectures", kRemoved}})), (std::vector<int64_t>{16, 16}));
  EXPECT_EQ(windows(mistral({{"sliding_window", 16}, {"model_type", kRemoved}})), (std::vector<int64_t>{16, 16}));
  EXPECT_EQ(windows(mistral({{"sliding_window", 100}})), (std::vector<int64_t>{100, 100}));
  EXPECT_EQ(windows(mistral({{"sliding_window", nullptr}})), (std::vector<int64_t>{0, 0}));
}

// transformers' default for a missing key differs between Mistral and Llama.
TEST_F(Windows, OfAMistralThatNamesNoneAre4096Wide) {
  EXPECT_EQ(windows(mistral({})), (std::vector<int64_t>{4096, 4096}));
  EXPECT_EQ(windows({}), (std::vector<int64_t>{0, 0}));
  EXPECT_TRUE(contains(refused(mistral({{"num_key_value_heads", kRemoved}})), "num_key_value_heads 8"));
  set(mistral({{"max_position_embeddings", kRemoved}}));
  EXPECT_EQ(import_hugging_face({source_.path, folder_ / "long", "bytes", std::nullopt, std::nullopt})
                .max_position_embeddings,
            131072);
}

TEST_F(Windows, FollowLayerTypes) {
  for (const std::string type : {"mistral", "ministral"}) {
    const Keys wide = mistral({{"sliding_window", 16}}, type);
    const auto with = [&](const Json& types) {
      Keys keys = wide;
      keys.emplace_back("layer_types", types);
      return windows(keys);
    };
    EXPECT_EQ(windows(wide), (std::vector<int64_t>{16, 16}));
    EXPECT_EQ(with(nullptr), (std::vector<int64_t>{16, 16}));
    EXPECT_EQ(with({kSliding, kSliding}), (std::vector<int64_t>{16, 16}));
    EXPECT_EQ(with({kSliding, kFull}), (std::vector<int64_t>{16, 0}));
    EXPECT_EQ(with({kFull, kSliding}), (std::vector<int64_t>{0, 16}));
    EXPECT_EQ(with({kFull, kFull}), (std::vector<int64_t>{0, 0}));
  }
}

TEST_F(Windows, OfALlamaWhereNothingAsksForThemAreNone) {
  for (const Keys& keys : std::vector<Keys>{{{"sliding_window", nullptr}},
                                            {{"sliding_window", 64}},  // as long as its sequences
                                            {{"sliding_window", 16}, {"use_sliding_window", false}},
                                            {{"sliding_window", 16}, {"max_window_layers", 2}},
                                            {{"sliding_window", 16}, {"layer_types", {kFull, kFull}}},
                                            {{"layer_types", {kFull, kFull}}}}) {
    EXPECT_EQ(windows(keys), (std::vector<int64_t>{0, 0})) << Json(keys);
  }
}

TEST_F(Windows, AreRefusedWhereProgramsDisagreeAboutThem) {
  for (const auto& [keys, words] : std::vector<std::pair<Keys, std::vector<std::string>>>{
           {{{"sliding_window", 16}}, {"sliding_window is 16", "\"llama\"", "MistralForCausalLM", "null"}},
           {{{"sliding_window", 16}, {"use_sliding_window", true}, {"max_window_layers", 1}}, {"sliding_window is 16"}},
           {{{"sliding_window", 16}, {"max_window_layers", 0}}, {"sliding_window is 16"}},
           {{{"sliding_window", 16}, {"layer_types", {kFull, kSliding}}}, {"MinistralForCausalLM"}},
           {mistral({{"sliding_window", 16}, {"use_sliding_window", false}}), {"use_sliding_window is false"}},
           {mistral({{"sliding_window", 16}, {"max_window_layers", 1}}), {"max_window_layers is 1", "layer_types"}}}) {
    const std::string message = refused(keys);
    for (const std::string& word : words) EXPECT_TRUE(contains(message, word)) << message;
  }
}

TEST_F(Windows, AreRefusedWhereTheirKeysAreWrong) {
  for (const auto& [key, value, word] : std::vector<std::tuple<std::string, Json, std::string>>{
           {"sliding_window", 0, "sliding_window is 0"},
           {"sliding_window", -1, "sliding_window is -1"},
           {"sliding_window", 16.5, "sliding_window is 16.5"},
           {"sliding_window", "wide", "sliding_window is \"wide\""},
           {"sliding_window", 99999999999, "sliding_window is 99999999999"},
           {"use_sliding_window", 1, "use_sliding_window is 1"},
           {"max_window_layers", -1, "max_window_layers is -1"},
           {"layer_types", kSliding, "layer_types is \"sliding_attention\"; expected a list"},
           {"layer_types", {kSliding}, "layer_types names 1 layers; expected 2 (num_hidden_layers)"},
           {"layer_types", {kFull, "chunked_attention"}, "layer 1 is \"chunked_attention\""},
           {"layer_types", {kFull, 3}, "layer 1 is 3"},
           {"rope_parameters", {{kFull, {{"rope_theta", 5000.0}}}}, "rope_parameters"}}) {
    const std::string message = refused(mistral({{"sliding_window", 16}, {key, value}}));
    EXPECT_TRUE(contains(message, word)) << message;
  }
  EXPECT_TRUE(contains(refused(mistral({{"sliding_window", nullptr}, {"layer_types", {kFull, kSliding}}})),
                       "sliding_window, their width, is not set"));
}

TEST_F(Windows, AreRefusedInModelsOfOtherArchitectures) {
  for (const auto& [type, name] : std::vector<std::pair<std::string, std::string>>{
           {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"}, {"mistral3", "Mistral3ForCausalLM"}}) {
    const std::string message = refused(
        {{"model_type", type}, {"architectures", {name}}, {"sliding_window", 16}, {"use_sliding_window", true}});
    EXPECT_TRUE(contains(message, "\"" + type + "\"")) << message;
    EXPECT_TRUE(contains(message, "MistralForCausalLM")) << message;
  }
  EXPECT_TRUE(contains(refused({{"model_type", "mistral"}, {"architectures", {"MistralForSequenceClassification"}}}),
                       "MistralForCausalLM"));
}

TEST_F(Windows, InEveryLayerAreExportedAsAMistral) {
  const Json json = exported(mistral({{"sliding_window", 16}}));
  for (const auto& [key, value] : source_.config.items()) EXPECT_EQ(json.at(key), value) << key;
  for (const char* key : {"layer_types", "attention_bias", "mlp_bias"}) EXPECT_FALSE(json.contains(key)) << key;
}

TEST_F(Windows, InSomeLayersAreExportedAsAMinistral) {
  const Json json = exported(mistral({{"sliding_window", 16}, {"layer_types", {kFull, kSliding}}}, "ministral"));
  for (const auto& [key, value] : source_.config.items()) EXPECT_EQ(json.at(key), value) << key;
  // transformers also reads a Mistral with layer_types as a Ministral.
  EXPECT_EQ(exported(mistral({{"sliding_window", 16}, {"layer_types", {kFull, kSliding}}})), json);
}

TEST_F(Windows, InNoLayerAreExportedAsALlama) {
  for (const Keys& keys : {Keys{}, mistral({{"sliding_window", nullptr}}),
                           mistral({{"sliding_window", 16}, {"layer_types", {kFull, kFull}}})}) {
    const Json json = exported(keys);
    EXPECT_EQ(json.at("model_type"), "llama");
    for (const char* key : {"sliding_window", "layer_types"}) EXPECT_FALSE(json.contains(key)) << key;
  }
}

TEST_F(Windows, AreInModelYaml) {
  imported(mistral({{"sliding_window", 16}, {"layer_types", {kFull, kSliding}}}));
  write_file(folder_ / "run.yaml", "extends: checkpoint/model.yaml\nrun: {name: further}\nstages: [{steps: 3}]\n");
  EXPECT_EQ(load_config(folder_ / "run.yaml").model.sliding_windows(), (std::vector<int64_t>{0, 16}));
}

}  // namespace
}  // namespace lighthouse
