// The layers that `lighthouse config` prints.
#include "workspace.h"

namespace lighthouse::test {
namespace {

class Config : public Workspace {
 protected:
  /// A config for a model of six layers.
  Outcome config(const Arguments& more) const {
    Arguments arguments{"config", write_config(), "--set", "model.num_hidden_layers=6"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return lighthouse(arguments);
  }
  /// The output after the config: the attention of each stage's layers.
  std::string layers(const Arguments& more) const {
    const Outcome outcome = config(more);
    expect_done(outcome);
    const size_t at = outcome.out.find("\n# The layers in");
    return at == std::string::npos ? "" : outcome.out.substr(at + 1);
  }
};

TEST_F(Config, PrintsEachLayersAttention) {
  EXPECT_EQ(layers({}),
            "# The layers in the steps of stage \"sparse\":\n"
            "#   0: dense\n"
            "#   1 to 5: lighthouse\n"
            "\n"
            "# The layers in the steps of stage \"recovery\":\n"
            "#   0 to 5: dense\n");
}

TEST_F(Config, PrintsTheArrangementsWithWindows) {
  EXPECT_NE(layers({"--set", "attention.window=96", "--set", "attention.lighthouse.window=32", "--set",
                    "attention.lighthouse.dense_layers=[]", "--set", "attention.lighthouse.window_layers=[0, -1]"})
                .find("#   0: window 96\n#   1 to 4: lighthouse + window 32\n#   5: window 96\n"),
            std::string::npos);
  EXPECT_NE(layers({"--set", "attention.window=96", "--set", "stages.0.attention=window"})
                .find("stage \"sparse\":\n#   0 to 5: window 96\n"),
            std::string::npos);
  EXPECT_NE(layers({"--set", "attention.window=96", "--set", "attention.lighthouse.window_every=2", "--set",
                    "attention.lighthouse.dense_layers=[]"})
                .find("#   0: window 96\n#   1: lighthouse\n#   2: window 96\n#   3: lighthouse\n"),
            std::string::npos);
  EXPECT_NE(layers({"--set", "model.sliding_window=50", "--set", "model.full_attention_layers=[1]"})
                .find("stage \"recovery\":\n#   0: window 50\n#   1: dense\n#   2 to 5: window 50\n"),
            std::string::npos);
}

TEST_F(Config, ItsOutputIsAnEqualConfig) {
  const Outcome first = config({"--set", "attention.window=96", "--set", "attention.lighthouse.window=32", "--set",
                                "attention.lighthouse.window_every=4", "--set", "model.sliding_window=50", "--set",
                                "model.full_attention_layers=[1, 2]"});
  expect_done(first);
  write_text(at("resolved.yaml"), first.out);
  EXPECT_EQ(lighthouse({"config", path("resolved.yaml")}).out, first.out);
}

TEST_F(Config, RefusesInvalidArrangements) {
  expect_refusal(config({"--set", "stages.0.attention=window"}), {"attention.window", "not set"});
  expect_refusal(config({"--set", "attention.window=96", "--set", "attention.lighthouse.window_layers=[0]"}),
                 {"layer 0 is in dense_layers and in window_layers"});
  expect_refusal(config({"--set", "model.sliding_window=50"}), {"model.sliding_window 50", "sparse"});
}

}  // namespace
}  // namespace lighthouse::test
