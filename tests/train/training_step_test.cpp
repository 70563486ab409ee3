#include "lighthouse/train/training_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lighthouse/train/memory_plan.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

/// A run's memory and data, and a step at a time.
struct Steps {
  explicit Steps(const RunConfig& run_config)
      : config(run_config),
        backend(make_cpu_backend()),
        memory(config, *backend),
        arena(planned_bytes(config, *backend)),
        feed(*backend, memory.largest_batch()),
        step(memory, feed, *backend),
        loader(config.data.train, config.batch.sequence_length, config.model.vocab_size, 42) {
    memory.lay_out(arena);
    initialize(memory.weights(), config.model, 42);
  }

  StepResult run(AttentionKind kind = AttentionKind::kDense) {
    const auto next = [&](std::span<int32_t> windows) {
      loader.next(config.batch.micro_batch_size, 0, config.batch.micro_batch_size, windows);
    };
    step.begin(memory.training_pass(0, kind), config.batch, next, 0.02);
    return step.finish();
  }
  std::vector<float> weights() const { return floats_of(memory.weights().flat); }

  RunConfig config;
  std::unique_ptr<Backend> backend;
  RunMemory memory;
  Arena arena;
  BatchFeed feed;
  TrainingStep step;
  Loader loader;
};

class TrainingStepTest : public testing::Test {
 protected:
  RunConfig config(int64_t micro, int64_t global) {
    RunConfig result = tiny_run(folder_);
    result.batch.micro_batch_size = micro;
    result.batch.global_batch_size = global;
    resolve_stages(result);
    return result;
  }
  TemporaryFolder folder_;
};

TEST_F(TrainingStepTest, SmallBatchesAddUpToALargeOne) {
  for (const AttentionKind kind : {AttentionKind::kDense, AttentionKind::kLighthouse}) {
    Steps four(config(1, 4));
    Steps one(config(4, 4));
    for (int i = 0; i < 4; ++i) {
      const StepResult a = four.run(kind);
      const StepResult b = one.run(kind);
      EXPECT_NEAR(a.loss, b.loss, 1e-6 * b.loss) << "step " << i;
      EXPECT_NEAR(a.gradient_norm, b.gradient_norm, 1e-4 * b.gradient_norm) << "step " << i;
      EXPECT_EQ(four.loader.position().tokens, one.loader.position().tokens);
    }
  }
}

TEST_F(TrainingStepTest, TheNormIsThatOfAllGradients) {
  Steps steps(config(1, 2));
  double squares = 0;
  steps.step.set_gradient_hook([&](const Parameters& gradients) {
    for (float g : floats_of(gradients.flat)) squares += static_cast<double>(g) * g;
  });
  const StepResult result = steps.run();
  EXPECT_NEAR(result.gradient_norm, std::sqrt(squares), 1e-9);
}

TEST_F(TrainingStepTest, ClippingScalesTheGradient) {
  RunConfig clipped = config(1, 2);
  clipped.optimizer.clip_grad_norm = 0.01;
  Steps steps(clipped);
  std::vector<float> gradients;
  steps.step.set_gradient_hook([&](const Parameters& g) { gradients = floats_of(g.flat); });
  const StepResult result = steps.run();
  ASSERT_GT(result.gradient_norm, 0.1) << "the norm is reported before clipping";
  const std::vector<float> m = floats_of(steps.memory.optimizer().state("exp_avg").elements);
  for (size_t i = 0; i < m.size(); ++i) {
    ASSERT_NEAR(m[i], 0.1 * gradients[i] * 0.01 / result.gradient_norm, 1e-9);
  }
}

TEST_F(TrainingStepTest, AGradientBelowTheLimitIsLeftAlone) {
  for (const double limit : {1e6, 0.0}) {  // 0: no clipping
    RunConfig unclipped = config(1, 2);
    unclipped.optimizer.clip_grad_norm = limit;
    Steps steps(unclipped);
    std::vector<float> gradients;
    steps.step.set_gradient_hook([&](const Parameters& g) { gradients = floats_of(g.flat); });
    steps.run();
    const std::vector<float> m = floats_of(steps.memory.optimizer().state("exp_avg").elements);
    for (size_t i = 0; i < m.size(); ++i) ASSERT_NEAR(m[i], 0.1 * gradients[i], 1e-8);
  }
}

TEST_F(TrainingStepTest, AnAbandonedStepChangesNothingButTheData) {
  Steps steps(config(1, 4));
  steps.run();
  const std::vector<float> weights = steps.weights();
  const std::vector<float> moments = floats_of(steps.memory.optimizer().state("exp_avg").elements);
  int layers = 0;
  steps.memory.add_layer_hook([&](int64_t) {
    if (++layers == 7) throw Interrupted(15);  // in the second micro-batch
  });
  const LoaderPosition before = steps.loader.position();
  EXPECT_THROW(steps.run(), Interrupted);
  EXPECT_EQ(steps.weights(), weights);
  EXPECT_EQ(floats_of(steps.memory.optimizer().state("exp_avg").elements), moments);
  EXPECT_EQ(steps.memory.optimizer().updates(), 1);

  steps.loader.seek(before);
  const StepResult again = steps.run();
  Steps untouched(config(1, 4));
  untouched.run();
  const StepResult expected = untouched.run();
  EXPECT_EQ(again.loss, expected.loss);
  EXPECT_EQ(again.gradient_norm, expected.gradient_norm);
  EXPECT_EQ(steps.weights(), untouched.weights());
}

TEST_F(TrainingStepTest, AGradientOfNaNChangesNothing) {
  Steps steps(config(1, 2));
  steps.run();
  const std::vector<float> weights = steps.weights();
  steps.step.set_gradient_hook(broken_gradient(1, 1));
  EXPECT_TRUE(steps.run().skipped);
  EXPECT_EQ(steps.weights(), weights);
  EXPECT_EQ(steps.memory.optimizer().updates(), 1);
  EXPECT_FALSE(steps.run().skipped);
  EXPECT_NE(steps.weights(), weights);
}

TEST_F(TrainingStepTest, LearnsASequenceByHeart) {
  RunConfig one = config(1, 1);
  write_shard(one.data.train[0].path, random_tokens(65, 257, 8));
  Steps steps(one);
  const double first = steps.run().loss;
  EXPECT_NEAR(first, std::log(257), 0.1) << "an untrained model knows nothing";
  double last = first;
  for (int i = 0; i < 150; ++i) last = steps.run().loss;
  EXPECT_LT(last, 0.2 * first);
}

}  // namespace
}  // namespace lighthouse
