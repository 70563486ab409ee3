// Predictions for many ranks, against values worked out by hand (docs/distributed.md).
#include "lighthouse/train/scaling.h"

#include <gtest/gtest.h>

#include "lighthouse/train/run_memory.h"
#include "lighthouse/train/step_cost.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

constexpr double kClose = 1e-12;

HardwareSection links() {
  HardwareSection hardware;
  hardware.ranks_per_host = 8;
  hardware.link_bandwidth = 100;    // GB/s
  hardware.link_latency = 10;       // us
  hardware.network_bandwidth = 25;  // GB/s
  hardware.network_latency = 50;    // us
  return hardware;
}

TEST(AllReduceSeconds, OneRankSumsNothing) {
  EXPECT_EQ(all_reduce_seconds(links(), 1e9, 1), 0);
}

TEST(AllReduceSeconds, WithinAHost) {
  // 2 * 1/2 * 1e9 B / 1e11 B/s, and 2 * 1 * 10 us.
  EXPECT_NEAR(all_reduce_seconds(links(), 1e9, 2), 0.010020, kClose);
  // 2 * 7/8 * 1e9 / 1e11, and 2 * 3 * 10 us.
  EXPECT_NEAR(all_reduce_seconds(links(), 1e9, 8), 0.017560, kClose);
}

TEST(AllReduceSeconds, BetweenHosts) {
  // 2 hosts: 2 * 15/16 * 1e9 / 25e9, and 2 * (3 * 10 + 1 * 50) us.
  EXPECT_NEAR(all_reduce_seconds(links(), 1e9, 16), 0.075160, kClose);
  // 9 ranks stand on 2 hosts too.
  EXPECT_NEAR(all_reduce_seconds(links(), 0, 9), 160e-6, kClose);
  // 512 hosts: 2 * 4095/4096 * 1e9 / 25e9, and 2 * (3 * 10 + 9 * 50) us.
  EXPECT_NEAR(all_reduce_seconds(links(), 1e9, 4096), 0.08 * 4095 / 4096 + 960e-6, kClose);
  // The slower of the two decides.
  HardwareSection slow_inside = links();
  slow_inside.link_bandwidth = 5;
  EXPECT_NEAR(all_reduce_seconds(slow_inside, 1e9, 16), 0.375 + 160e-6, kClose);
}

class PlanScaling : public testing::Test {
 protected:
  PlanScaling() : config_(tiny_run(folder_)) {
    config_.batch = {64, 1, 6};
    config_.hardware = links();
    config_.distributed.bucket = 1000;  // one of matrices, one of vectors
    resolve_stages(config_);
  }

  ScalingPlan plan(int ranks, double measured = kStep) {
    return plan_scaling(config_, 0, AttentionKind::kDense, *cpu_, kRates, ranks, measured);
  }

  /// Of the measured step, what the update takes.
  double update() {
    double of_update = 0, all = 0;
    for (const OperationCost& cost : step_costs(config_, 0, AttentionKind::kDense, *cpu_, kRates)) {
      all += cost.roofline_seconds;
      if (cost.kind == "adamw" || cost.kind == "gradient norm") of_update += cost.roofline_seconds;
    }
    EXPECT_GT(of_update, 0);
    return kStep * of_update / all;
  }
  double micro_batch() { return (kStep - update()) / 6; }

  /// Elements of the gradients: matrices and vectors.
  std::vector<double> bucket_sizes() const {
    std::vector<double> sizes;
    for (const ShardRange& range : unsharded(config_.model).ranges) sizes.push_back(static_cast<double>(range.size()));
    return sizes;
  }

  static constexpr double kStep = 0.6;
  static constexpr Rates kRates{1e9, 1e9, 1e9, 1e9};
  TemporaryFolder folder_;
  RunConfig config_;
  std::unique_ptr<Backend> cpu_ = make_cpu_backend();
};

TEST_F(PlanScaling, OneRankIsThePlainPlan) {
  const ScalingPlan one = plan(1);
  EXPECT_NEAR(one.step_seconds, kStep, kClose);
  EXPECT_NEAR(one.compute_seconds, kStep, kClose);
  EXPECT_EQ(one.communication_seconds, 0);
  EXPECT_EQ(one.exposed_seconds, 0);
  EXPECT_EQ(one.bytes_sent, 0);
  EXPECT_NEAR(one.efficiency, 1, kClose);
  const double planned = roofline_seconds(step_costs(config_, 0, AttentionKind::kDense, *cpu_, kRates));
  EXPECT_NEAR(plan(1, 0).step_seconds, planned, 1e-9 * planned);
}

TEST_F(PlanScaling, ComputeFollowsTheRankWithMostMicroBatches) {
  EXPECT_EQ(plan(2).micro_batches, 3);
  EXPECT_EQ(plan(4).micro_batches, 2);  // of 6: 1, 2, 1, 2
  EXPECT_NEAR(plan(2).compute_seconds, 3 * micro_batch() + update(), kClose);
  EXPECT_NEAR(plan(4).compute_seconds, 2 * micro_batch() + update(), kClose);
}

TEST_F(PlanScaling, ABucketThatIsCompleteWithTheLastLayerIsNotHidden) {
  const std::vector<double> sizes = bucket_sizes();
  ASSERT_EQ(sizes.size(), 2U);
  double sums = 0, elements = 0;
  for (const double numel : sizes) {
    sums += 2 * 0.5 * 4 * numel / 100e9 + 20e-6;
    elements += numel;
  }
  const ScalingPlan two = plan(2);
  EXPECT_NEAR(two.communication_seconds, sums, kClose);
  EXPECT_NEAR(two.exposed_seconds, sums, kClose);
  EXPECT_NEAR(two.step_seconds, two.compute_seconds + sums, kClose);
  EXPECT_EQ(two.bytes_sent, static_cast<int64_t>(0.5 * 8 * elements));
  EXPECT_NEAR(two.tokens_per_second, 6 * 64 / two.step_seconds, 1e-6);
  EXPECT_NEAR(two.efficiency, kStep / (2 * two.step_seconds), kClose);
}

TEST_F(PlanScaling, SmallBucketsAreHiddenBehindBackwardWhereLinksAreFast) {
  config_.distributed.bucket = 0.001;
  const ScalingPlan two = plan(2);
  // Backward, 2/3 of a micro-batch, has two layers: what is complete with the second one is done long before the first.
  double last_layer = 0;
  const RunMemory memory(config_, *cpu_, Mesh(0, 2));
  ASSERT_GT(memory.buckets().size(), 5U);
  for (const Bucket& bucket : memory.buckets()) {
    if (bucket.layer <= 0) last_layer += 4 * static_cast<double>(bucket.size()) / 100e9 + 20e-6;
  }
  EXPECT_NEAR(two.exposed_seconds, last_layer, kClose);
  EXPECT_LT(two.exposed_seconds, two.communication_seconds);
}

TEST_F(PlanScaling, OneAfterAnotherWhereLinksAreSlow) {
  config_.distributed.bucket = 0.001;
  config_.hardware.link_bandwidth = 1e-6;
  const ScalingPlan two = plan(2);
  const RunMemory memory(config_, *cpu_, Mesh(0, 2));
  const double backward = 2.0 / 3 * micro_batch();
  // The first one starts when its layer is done, the others wait for each other.
  const double first = backward * (2 - static_cast<double>(memory.buckets().front().layer)) / 2;
  EXPECT_NEAR(two.exposed_seconds, first + two.communication_seconds - backward, 1e-9 * two.communication_seconds);
}

TEST_F(PlanScaling, ShardedStateSplitsTheUpdateAndGathersWeights) {
  config_.distributed.shard_optimizer = true;
  double sums = 0, elements = 0;
  for (const double numel : bucket_sizes()) {
    sums += 0.5 * 4 * numel / 100e9 + 10e-6;  // a reduce-scatter is half a sum
    sums += 0.5 * 4 * numel / 100e9 + 10e-6;  // and so is the gathering of float32 weights
    elements += numel;
  }
  const ScalingPlan two = plan(2);
  EXPECT_NEAR(two.compute_seconds, 3 * micro_batch() + update() / 2, kClose);
  EXPECT_NEAR(two.exposed_seconds, sums, kClose);
  EXPECT_EQ(two.bytes_sent, static_cast<int64_t>(0.5 * (4 + 4) * elements));
}

TEST_F(PlanScaling, GoesToThousandsOfRanks) {
  config_.batch = {64, 1, 8192};
  resolve_stages(config_);
  const ScalingPlan many = plan(4096);
  EXPECT_EQ(many.micro_batches, 2);
  EXPECT_GT(many.step_seconds, 0);
  EXPECT_GT(many.exposed_seconds, 0);
  EXPECT_GT(many.efficiency, 0);
  EXPECT_LT(many.efficiency, 1);
}

}  // namespace
}  // namespace lighthouse
