#include <stdexcept>

#include "lighthouse/core/bfloat16.h"
#include "op_test.h"

namespace lighthouse {
namespace {

class OptimizerTest : public OpTest {};

TEST_F(OptimizerTest, L2Norm) {
  for (const int64_t size : {1, 1000, 16385, 100001}) {
    const Floats x = random_floats({size}, 1);
    Array<double> norm({1});
    const auto scratch = scratch_of(backend_->reduction_scratch(size));
    backend_->l2_norm(stream_, norm, scratch, x);
    EXPECT_NEAR(norm[0], std::sqrt(dot(values_of(x), values_of(x))), 1e-9 * norm[0]);
    Array<double> sum({1});
    sum[0] = 5;
    backend_->add_sum(stream_, sum, scratch, x, 0.5);
    EXPECT_NEAR(sum[0], 5 + 0.5 * dot(values_of(x), std::vector<double>(x.values.size(), 1.0)), 1e-6);
  }
}

TEST_F(OptimizerTest, NormsOfPartsMakeTheNorm) {
  Array<double> norms({3}), norm({1});
  norms[0] = 2;
  norms[1] = 3;
  norms[2] = 6;
  backend_->combine_norms(stream_, norm, norms);
  EXPECT_EQ(norm[0], 7);
}

TEST_F(OptimizerTest, AdamWFollowsItsFormulas) {
  const int64_t size = 20001;
  Floats weight = random_floats({size}, 1), m = random_floats({size}, 2), v = random_floats({size}, 3);
  for (float& value : v.values) value *= value;
  const Floats gradient = random_floats({size}, 4);
  Floats scalars({kAdamScalars});
  scalars[kLearningRate] = 0.01f;
  scalars[kBiasCorrection1] = 0.19f;
  scalars[kBiasCorrection2] = 0.0975f;
  scalars[kGradientScale] = 0.5f;
  scalars[kApply] = 1;
  const AdamSettings settings{.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.1};

  std::vector<double> new_weight, new_m, new_v;
  for (int64_t i = 0; i < size; ++i) {
    const double g = 0.5 * gradient[i];
    new_m.push_back(0.9 * m[i] + (1 - 0.9) * g);
    new_v.push_back(0.95 * v[i] + (1 - 0.95) * g * g);
    const double step = new_m.back() / 0.19 / (std::sqrt(new_v.back() / 0.0975) + 1e-3);
    new_weight.push_back(weight[i] - 0.01 * (step + 0.1 * weight[i]));
  }
  backend_->adamw(stream_, weight, Tensor(), m, v, gradient, scalars, settings);
  EXPECT_TRUE(close(m, new_m, 1e-6));
  EXPECT_TRUE(close(v, new_v, 1e-6));
  EXPECT_TRUE(close(weight, new_weight, 1e-6));
}

TEST_F(OptimizerTest, AStepIsPlannedFromLossAndNorm) {
  const AdamSettings settings{.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1};
  Array<double> step({kStepScalars});
  Floats scalars({kAdamScalars});
  const auto plan = [&](double loss, double norm, double max_norm) {
    step[kLoss] = loss;
    step[kGradientNorm] = norm;
    backend_->plan_update(stream_, scalars, step, 0.25, max_norm, settings);
  };
  step[kUpdates] = 2;
  plan(3.5, 4, 1);
  EXPECT_TRUE(close(scalars, {0.25, 1 - std::pow(0.9, 3), 1 - std::pow(0.95, 3), 0.25, 1}, 1e-6));
  EXPECT_EQ(step[kSkipped], 0);
  EXPECT_EQ(step[kUpdates], 3);
  plan(3.5, 0.5, 1);
  EXPECT_EQ(scalars[kGradientScale], 1.0f) << "a small gradient is left alone";
  plan(3.5, 4, 0);
  EXPECT_EQ(scalars[kGradientScale], 1.0f) << "0: no clipping";
  for (const auto& [loss, norm] : {std::pair(std::nan(""), 1.0), {3.5, std::nan("")}, {3.5, HUGE_VAL}}) {
    plan(loss, norm, 1);
    EXPECT_EQ(scalars[kApply], 0.0f);
    EXPECT_EQ(step[kSkipped], 1);
    EXPECT_EQ(step[kUpdates], 5) << "a step that is skipped does not count";
  }
}

TEST_F(OptimizerTest, CopyConvertsToBFloat16AndBack) {
  const Floats x = random_floats({1001}, 1);
  Array<BFloat16> rounded({1001});
  Floats back({1001});
  backend_->copy(stream_, rounded, x);
  backend_->copy(stream_, back, rounded);
  for (int64_t i = 0; i < 1001; ++i) ASSERT_NEAR(back[i], x[i], std::abs(x[i]) / 256);
}

TEST_F(OptimizerTest, FillAndCopy) {
  Floats x({300001}), y({300001});
  backend_->fill(stream_, x, 1.5f);
  backend_->copy(stream_, y, x);
  EXPECT_EQ(y.values, std::vector<float>(300001, 1.5f));
  Ints ids({17});
  backend_->fill(stream_, ids, -1.0f);
  EXPECT_EQ(ids.values, std::vector<int32_t>(17, -1));
  EXPECT_THROW(backend_->copy(stream_, y, Floats({5})), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
