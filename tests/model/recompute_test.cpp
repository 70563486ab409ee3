// What is computed again is what was computed before, to the last bit.
#include "lighthouse/model/recompute.h"

#include <gtest/gtest.h>

#include "tiny_llama.h"

namespace lighthouse {
namespace {

class RecomputeTest : public testing::TestWithParam<Recompute> {};

TEST_P(RecomputeTest, GivesTheSameGradients) {
  for (PassSettings settings : {dense_pass(2, 40), lighthouse_pass(2)}) {
    TinyLlama all_kept(tiny_config(), settings);
    all_kept.forward_backward();
    settings.recompute = GetParam();
    TinyLlama recomputing(tiny_config(), settings);
    recomputing.forward_backward();
    EXPECT_EQ(recomputing.losses(), all_kept.losses());
    EXPECT_EQ(floats_of(recomputing.gradients.flat), floats_of(all_kept.gradients.flat))
        << name_of(settings.attention) << ", " << name_of(GetParam());
  }
}

INSTANTIATE_TEST_SUITE_P(All, RecomputeTest, testing::Values(Recompute::kNorms, Recompute::kMlp, Recompute::kBlock),
                         [](const auto& of) { return std::string(name_of(of.param)); });

TEST(Recompute, EachKindKeepsLess) {
  ModelConfig config = tiny_config();
  config.num_hidden_layers = 12;
  PassSettings settings = dense_pass(2, 64);
  int64_t before = INT64_MAX;
  for (const Recompute recompute : {Recompute::kNone, Recompute::kNorms, Recompute::kMlp, Recompute::kBlock}) {
    settings.recompute = recompute;
    const auto backend = make_cpu_backend();
    Arena arena;
    Llama(config, settings, *backend).lay_out(arena);
    EXPECT_LT(arena.used(), before) << name_of(recompute);
    before = arena.used();
  }
}

}  // namespace
}  // namespace lighthouse
