#include "lighthouse/train/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "model/reference_llama.h"
#include "model/tiny_llama.h"

namespace lighthouse {
namespace {

class AdamWTest : public testing::Test {
 protected:
  AdamWTest() : tiny_(tiny_config(), dense_pass(1, 8)) {
    settings_.weight_decay = 0.2;
    settings_.beta1 = 0.8;
    settings_.beta2 = 0.9;
    settings_.epsilon = 1e-6;
    optimizer_ = std::make_unique<AdamW>(settings_, *tiny_.backend);
    Arena measuring;
    optimizer_->lay_out(measuring, tiny_.config, unsharded(tiny_.config));
    arena_ = Arena(measuring.used());
    optimizer_->lay_out(arena_, tiny_.config, unsharded(tiny_.config));
  }

  std::map<std::string, Values> values(const Parameters& parameters) const {
    std::map<std::string, Values> result;
    for (const auto& [name, tensor] : hugging_face_views(parameters, tiny_.config)) {
      const std::vector<float> floats = floats_of(tensor);
      result[name] = Values(floats.begin(), floats.end());
    }
    return result;
  }

  /// A state tensor by parameter; it is laid out like the weights.
  std::map<std::string, Values> state(const std::string& name) const {
    const Tensor& elements = optimizer_->state(name).elements;
    std::map<std::string, Values> result;
    for (const auto& [parameter, tensor] : hugging_face_views(tiny_.weights, tiny_.config)) {
      const int64_t begin = tensor.data<float>() - tiny_.weights.flat.data<float>();
      const std::vector<float> floats = floats_of(elements.slice(0, begin, begin + tensor.numel()));
      result[parameter] = Values(floats.begin(), floats.end());
    }
    return result;
  }

  /// A step in which the gradient has this norm.
  void step(double learning_rate, double norm = 0.5) {
    optimizer_->step_scalar(kGradientNorm).data<double>()[0] = norm;
    optimizer_->step(tiny_.stream, tiny_.weights, tiny_.weights, tiny_.gradients, learning_rate);
  }

  OptimizerSection settings_;
  TinyLlama tiny_;
  std::unique_ptr<AdamW> optimizer_;
  Arena arena_;
};

TEST_F(AdamWTest, FollowsAPlainLoopOverSeveralSteps) {
  std::map<std::string, Values> w = values(tiny_.weights);
  std::map<std::string, Values> m;
  std::map<std::string, Values> v;
  for (int t = 1; t <= 6; ++t) {
    randomize(tiny_.gradients, tiny_.config, static_cast<uint32_t>(100 + t));
    const double lr = 0.01 * t;
    const double scale = t % 2 == 0 ? 0.25 : 1;
    step(lr, 1 / scale);  // it is clipped to 1
    EXPECT_EQ(optimizer_->updates(), t);
    for (const auto& [name, g] : values(tiny_.gradients)) {
      const double decay = name.find("norm") == std::string::npos ? 0.2 : 0;  // norms are the only vectors
      m[name].resize(g.size());
      v[name].resize(g.size());
      for (size_t i = 0; i < g.size(); ++i) {
        const double scaled = scale * g[i];
        m[name][i] = 0.8 * m[name][i] + 0.2 * scaled;
        v[name][i] = 0.9 * v[name][i] + 0.1 * scaled * scaled;
        const double step =
            m[name][i] / (1 - std::pow(0.8, t)) / (std::sqrt(v[name][i] / (1 - std::pow(0.9, t))) + 1e-6);
        w[name][i] -= lr * (step + decay * w[name][i]);
      }
    }
  }
  const auto expect_near = [](const std::map<std::string, Values>& actual,
                              const std::map<std::string, Values>& expected) {
    for (const auto& [name, numbers] : expected) {
      for (size_t i = 0; i < numbers.size(); ++i) ASSERT_NEAR(actual.at(name)[i], numbers[i], 2e-6) << name << ' ' << i;
    }
  };
  expect_near(values(tiny_.weights), w);
  expect_near(state("exp_avg"), m);
  expect_near(state("exp_avg_sq"), v);
}

TEST_F(AdamWTest, DecayIsForMatricesOnly) {
  const auto before = values(tiny_.weights);
  step(0.5);  // gradients are 0
  for (const auto& [name, after] : values(tiny_.weights)) {
    const double factor = name.find("norm") == std::string::npos ? 1 - 0.5 * 0.2 : 1;
    for (size_t i = 0; i < after.size(); ++i) ASSERT_NEAR(after[i], factor * before.at(name)[i], 1e-6) << name;
  }
}

TEST_F(AdamWTest, BiasCorrectionFollowsTheCountOfUpdates) {
  const auto before = values(tiny_.weights);
  randomize(tiny_.gradients, tiny_.config, 5);
  optimizer_->set_updates(9);
  step(0.1);
  EXPECT_EQ(optimizer_->updates(), 10);
  const auto after = values(tiny_.weights);
  const Values g = values(tiny_.gradients).at("model.norm.weight");
  for (size_t i = 0; i < g.size(); ++i) {
    const double m = 0.2 * g[i] / (1 - std::pow(0.8, 10));
    const double v = 0.1 * g[i] * g[i] / (1 - std::pow(0.9, 10));
    ASSERT_NEAR(after.at("model.norm.weight")[i], before.at("model.norm.weight")[i] - 0.1 * m / (std::sqrt(v) + 1e-6),
                1e-6);
  }
}

TEST_F(AdamWTest, ANormThatIsNotFiniteChangesNothing) {
  randomize(tiny_.gradients, tiny_.config, 5);
  step(0.1);
  const auto weights = values(tiny_.weights), moments = state("exp_avg");
  for (const double norm : {std::nan(""), HUGE_VAL}) {
    step(0.1, norm);
    EXPECT_EQ(optimizer_->step_scalars().data<double>()[kSkipped], 1);
    EXPECT_EQ(optimizer_->updates(), 1);
    EXPECT_EQ(values(tiny_.weights), weights);
    EXPECT_EQ(state("exp_avg"), moments);
  }
}

TEST_F(AdamWTest, MomentsInBFloat16StayNearThoseInFloat32) {
  settings_.state_dtype = DType::kBFloat16;
  AdamW rounded(settings_, *tiny_.backend);
  Arena measuring;
  rounded.lay_out(measuring, tiny_.config, unsharded(tiny_.config));
  Arena arena(measuring.used());
  rounded.lay_out(arena, tiny_.config, unsharded(tiny_.config));
  TinyLlama other(tiny_config(), dense_pass(1, 8));
  for (int t = 1; t <= 4; ++t) {
    randomize(tiny_.gradients, tiny_.config, static_cast<uint32_t>(100 + t));
    step(0.01);
    rounded.step(other.stream, other.weights, other.weights, tiny_.gradients, 0.01);
  }
  EXPECT_LT(measuring.used(), arena_.used() * 6 / 10);
  const auto expected = values(tiny_.weights);
  for (const auto& [name, weights] : values(other.weights)) {
    for (size_t i = 0; i < weights.size(); ++i) ASSERT_NEAR(weights[i], expected.at(name)[i], 2e-3) << name;
  }
}

TEST_F(AdamWTest, PaddingOfTheVocabularyStaysZero) {
  for (int i = 0; i < 3; ++i) {
    tiny_.forward_backward();
    step(0.1);
  }
  for (const Tensor& tensor : {tiny_.weights.embed_tokens, tiny_.weights.lm_head}) {
    for (float value : floats_of(tensor.slice(0, 50, 128))) ASSERT_EQ(value, 0);
  }
}

TEST_F(AdamWTest, TiedEmbeddingsAreSteppedOnce) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  TinyLlama tied(config, dense_pass(1, 8));
  AdamW optimizer(settings_, *tied.backend);
  Arena measuring;
  optimizer.lay_out(measuring, config, unsharded(config));
  Arena arena(measuring.used());
  optimizer.lay_out(arena, config, unsharded(config));
  const float before = tied.weights.embed_tokens.data<float>()[0];
  optimizer.step(tied.stream, tied.weights, tied.weights, tied.gradients, 0.5);
  EXPECT_NEAR(tied.weights.embed_tokens.data<float>()[0], 0.9 * before, 1e-6);
}

}  // namespace
}  // namespace lighthouse
