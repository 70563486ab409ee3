#include <limits>

#include "kernel_test.h"

namespace lighthouse {
namespace {

class OptimizerTest : public KernelTest {
 protected:
  static constexpr int64_t kNumels[] = {1, 1000, 16385, 3000001};

  struct Adam {
    Operand weight, working, m, v, gradient, scalars;

    void run(const Side& on, bool with_working) const {
      const Tensor rounded_weight = with_working ? on(working) : Tensor();
      on->adamw(on.stream, on(weight), rounded_weight, on(m), on(v), on(gradient), on(scalars), AdamSettings());
    }
  };
  /// Steps long enough that an error in one changes the weights.
  static Adam adam(Comparison& c, int64_t numel, DType moments, bool apply) {
    const Shape shape{numel};
    const Values scalars = {0.25, 0.1, 0.05, 0.5, apply ? 1.0 : 0.0};
    return {c.updated(DType::kFloat32, shape), c.updated(type(), shape),
            c.updated(moments, shape),         c.updated(moments, shape, random_positive_values(numel, 1)),
            c.input(DType::kFloat32, shape),   c.input(DType::kFloat32, {kAdamScalars}, scalars)};
  }
};

TEST_P(OptimizerTest, L2Norm) {
  for (const int64_t numel : kNumels) {
    Comparison c = compare({numel});
    const Operand norm = c.output(DType::kFloat64, {1}), x = c.input(DType::kFloat32, {numel});
    const Operand scratch = c.scratch([&](const Backend& b) { return b.reduction_scratch(numel); });
    c.run([&](const Side& on) { on->l2_norm(on.stream, on(norm), on(scratch), on(x)); });
    c.expect_close();
  }
}

TEST_P(OptimizerTest, CombineNorms) {
  for (const int64_t numel : {1, 2, 1000}) {
    Comparison c = compare({numel});
    const Operand norm = c.output(DType::kFloat64, {1}), norms = c.input(DType::kFloat64, {numel});
    c.run([&](const Side& on) { on->combine_norms(on.stream, on(norm), on(norms)); });
    c.expect_close();
  }
}

TEST_P(OptimizerTest, AddSum) {
  for (const int64_t numel : kNumels) {
    Comparison c = compare({numel});
    const Operand sum = c.updated(DType::kFloat64, {1}), x = c.input(DType::kFloat32, {numel});
    const Operand scratch = c.scratch([&](const Backend& b) { return b.reduction_scratch(numel); });
    c.run([&](const Side& on) { on->add_sum(on.stream, on(sum), on(scratch), on(x), 0.125); });
    c.expect_close();
  }
}

TEST_P(OptimizerTest, AdamwWithoutWorkingWeights) {
  for (const DType moments : {DType::kFloat32, DType::kBFloat16}) {
    for (const int64_t numel : {1, 7, 1000, 16385, 100003}) {
      Comparison c = compare({numel});
      const Adam step = adam(c, numel, moments, true);
      c.run([&](const Side& on) { step.run(on, false); });
      c.expect_close();
      EXPECT_TRUE(c.unchanged_on_gpu(step.working));
    }
  }
}

TEST_P(OptimizerTest, AdamwRoundsWeightsToWorkingWeights) {
  for (const DType moments : {DType::kFloat32, DType::kBFloat16}) {
    for (const int64_t numel : {1, 7, 1000, 16385, 100003}) {
      Comparison c = compare({numel});
      const Adam step = adam(c, numel, moments, true);
      c.run([&](const Side& on) {
        step.run(on, on.is_gpu());
        if (!on.is_gpu()) on->copy(on.stream, on(step.working), on(step.weight));
      });
      c.expect_close();
      EXPECT_EQ(c.gpu(step.working), rounded(c.gpu(step.weight), type()));
    }
  }
}

TEST_P(OptimizerTest, AdamwOfASkippedStepTouchesNothing) {
  for (const DType moments : {DType::kFloat32, DType::kBFloat16}) {
    Comparison c = compare({1003});
    const Adam step = adam(c, 1003, moments, false);
    c.run_on_gpu([&](const Side& on) { step.run(on, true); });
    for (const Operand operand : {step.weight, step.working, step.m, step.v}) {
      EXPECT_TRUE(c.unchanged_on_gpu(operand));
    }
  }
}

TEST_P(OptimizerTest, PlanUpdate) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  struct Step {
    double loss, norm, updates, max_norm;
    bool applied;
  };
  for (const Step& s : {Step{5, 0.5, 0, 1, true}, Step{5, 4, 9, 1, true}, Step{5, 4, 9, 0, true},
                        Step{5, 4, 99999, 0.25, true}, Step{kNan, 0.5, 3, 1, false}, Step{kInfinity, 0.5, 3, 0, false},
                        Step{5, kInfinity, 3, 1, false}, Step{5, kNan, 3, 0, false}}) {
    Comparison c = compare({static_cast<int64_t>(s.updates)});
    const Operand scalars = c.output(DType::kFloat32, {kAdamScalars});
    const Operand step = c.updated(DType::kFloat64, {kStepScalars}, {s.loss, 0, s.norm, -1, s.updates});
    c.run([&](const Side& on) { on->plan_update(on.stream, on(scalars), on(step), 3e-4, s.max_norm, {}); });
    const Values decided = c.gpu(step);
    EXPECT_EQ(decided[kSkipped], s.applied ? 0 : 1);
    EXPECT_EQ(decided[kUpdates], s.updates + (s.applied ? 1 : 0));
    const Values actual = c.gpu(scalars), expected = c.cpu(scalars);
    EXPECT_EQ(actual[kApply], expected[kApply]);
    if (!s.applied) continue;
    for (size_t i = 0; i < kAdamScalars; ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6 * expected[i]) << "scalar " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, OptimizerTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
