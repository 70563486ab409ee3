#include "lighthouse/train/run_memory.h"

#include <gtest/gtest.h>

#include <regex>

#include "lighthouse/core/text.h"
#include "lighthouse/train/memory_plan.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

class RunMemoryTest : public testing::Test {
 protected:
  RunConfig with_batch(int64_t micro, int64_t global) {
    RunConfig config = tiny_run(folder_);
    config.batch.micro_batch_size = micro;
    config.batch.global_batch_size = global;
    resolve_stages(config);
    return config;
  }

  /// One dense stage of a model so deep that what its layers keep outweighs what they share.
  RunConfig deep() {
    RunConfig config = with_batch(2, 2);
    config.data.validation.clear();
    config.model.num_hidden_layers = 8;
    config.stages = {config.stages[1]};
    resolve_stages(config);
    return config;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Backend> backend_ = make_cpu_backend();
};

TEST_F(RunMemoryTest, PlanAndRunAreTheSame) {
  const RunConfig config = with_batch(3, 3);
  const int64_t planned = planned_bytes(config, *backend_);
  Arena measuring;
  RunMemory plan(config, *backend_);
  plan.lay_out(measuring);
  EXPECT_EQ(measuring.used(), planned);

  Arena real(planned);
  RunMemory memory(config, *backend_);
  memory.lay_out(real);  // throws if a byte is missing
  EXPECT_EQ(real.used(), planned);
  for (int use = 0; use < kMemoryUses; ++use) {
    EXPECT_EQ(real.used(static_cast<MemoryUse>(use)), measuring.used(static_cast<MemoryUse>(use)));
  }
  Arena small(planned - 1);
  RunMemory too_large(config, *backend_);
  EXPECT_THROW(too_large.lay_out(small), std::logic_error);
}

TEST_F(RunMemoryTest, EveryPassThatARunMakesIsPlannedOnce) {
  const RunConfig config = with_batch(1, 2);
  const RunMemory memory(config, *backend_);
  std::vector<std::string> names;
  for (const Pass& pass : memory.passes()) names.push_back(pass.name);
  EXPECT_EQ(names, (std::vector<std::string>{"pretrain", "pretrain, dense steps", "pretrain, evaluation",
                                             "pretrain, dense evaluation"}))
      << "the recovery stage's passes are those of pretrain's dense steps";
}

TEST_F(RunMemoryTest, PassesLieOverOneAnother) {
  const RunConfig config = with_batch(1, 2);
  RunMemory memory(config, *backend_);
  Arena arena;
  memory.lay_out(arena);
  int64_t sum = 0;
  int64_t largest = 0;
  for (const Pass& pass : memory.passes()) {
    const int64_t bytes = pass.activations + pass.scratch + pass.batch;
    sum += bytes;
    largest = std::max(largest, bytes);
  }
  const int64_t passes = arena.used() - memory.persistent_bytes();
  EXPECT_LT(passes, sum);
  EXPECT_GE(passes, largest);
  EXPECT_GE(memory.persistent_bytes(), 4 * 4 * parameter_count(config.model));
}

TEST_F(RunMemoryTest, WhatFitsIsLetThrough) {
  const RunConfig config = with_batch(8, 8);
  const int64_t needed = planned_bytes(config, *backend_);
  EXPECT_NO_THROW(check_memory(config, *backend_, needed));
  EXPECT_THROW(check_memory(config, *backend_, needed - 1), InputError);
}

TEST_F(RunMemoryTest, SaysByHowMuchAndWhichMicroBatchFits) {
  // 12 and 15 do not halve evenly: what is advised must divide the global batch.
  for (const auto& [micro, global] : {std::pair<int64_t, int64_t>{8, 8}, {12, 12}, {15, 15}, {9, 18}}) {
    const RunConfig config = with_batch(micro, global);
    const int64_t needed = planned_bytes(config, *backend_);
    for (int64_t fitting = 1; fitting < micro; ++fitting) {
      if (global % fitting != 0) continue;
      const int64_t available = planned_bytes(with_batch(fitting, global), *backend_);
      const std::string message = refusal([&] { check_memory(config, *backend_, available); });
      EXPECT_TRUE(contains(message, format_bytes(needed - available))) << message;
      std::smatch match;
      ASSERT_TRUE(std::regex_search(message, match, std::regex("batch\\.micro_batch_size=([0-9]+)"))) << message;
      const int64_t advised = std::stoll(match[1]);
      EXPECT_EQ(global % advised, 0) << message;
      const RunConfig smaller = with_batch(advised, global);
      EXPECT_NO_THROW(check_memory(smaller, *backend_, available)) << message;
    }
  }
}

TEST_F(RunMemoryTest, AdvisesAShorterSequenceIfNoBatchFits) {
  RunConfig config = with_batch(1, 1);
  config.batch.sequence_length = 1024;
  resolve_stages(config);
  RunConfig half = config;
  half.batch.sequence_length = 512;
  resolve_stages(half);
  for (StageSection& stage : half.stages) {
    stage.attention = AttentionKind::kDense;
    stage.dense_every = 0;
  }
  const int64_t available = planned_bytes(half, *backend_);
  const std::string message = refusal([&] { check_memory(config, *backend_, available); });
  EXPECT_TRUE(contains(message, "batch.sequence_length=512")) << message;
  EXPECT_TRUE(contains(refusal([&] { check_memory(config, *backend_, 1000); }), "smaller model"));
}

TEST_F(RunMemoryTest, AdvisesRecomputationWhereLessWasAskedFor) {
  RunConfig config = deep();
  config.stages[0].recompute = RecomputeChoice::kNone;
  const int64_t needed = planned_bytes(config, *backend_);
  const std::string message = refusal([&] { check_memory(config, *backend_, needed - 1); });
  EXPECT_TRUE(contains(message, "memory.recompute=auto would fit")) << message;
  EXPECT_NO_THROW(check_memory(with_recompute(deep(), *backend_, needed - 1), *backend_, needed - 1));
}

TEST_F(RunMemoryTest, AMachineHasSomeMemory) {
  RunConfig config = with_batch(1, 1);
  EXPECT_GT(available_bytes(config, *backend_), int64_t{64} << 20);
  config.hardware.memory = 2;
  EXPECT_EQ(available_bytes(config, *backend_), int64_t{2} << 30);
}

TEST_F(RunMemoryTest, RecomputesTheLeastThatFits) {
  const RunConfig config = deep();
  int64_t before = INT64_MAX;
  for (const RecomputeChoice choice :
       {RecomputeChoice::kNone, RecomputeChoice::kNorms, RecomputeChoice::kMlp, RecomputeChoice::kBlock}) {
    RunConfig fixed = config;
    fixed.stages[0].recompute = choice;
    const int64_t needed = planned_bytes(fixed, *backend_);
    EXPECT_LT(needed, before);
    before = needed;
    EXPECT_EQ(with_recompute(config, *backend_, needed).stages[0].recompute, choice);
    EXPECT_EQ(with_recompute(fixed, *backend_, 0).stages[0].recompute, choice) << "what the user says stays";
  }
  EXPECT_EQ(with_recompute(config, *backend_, 0).stages[0].recompute, RecomputeChoice::kBlock);
}

TEST_F(RunMemoryTest, StagesThatDifferHavePassesOfTheirOwn) {
  RunConfig config = with_batch(1, 2);
  config.stages[1].rope_theta = 500000;
  config.stages[1].batch.micro_batch_size = 2;
  RunMemory memory(config, *backend_);
  Arena arena(planned_bytes(config, *backend_));
  memory.lay_out(arena);
  EXPECT_EQ(memory.training_pass(0, AttentionKind::kDense).settings.batch, 1);
  EXPECT_EQ(memory.training_pass(1, AttentionKind::kDense).settings.batch, 2);
  EXPECT_EQ(memory.evaluation_pass(1, AttentionKind::kDense).settings.rope_theta, 500000);
  EXPECT_THROW(memory.training_pass(1, AttentionKind::kLighthouse), std::logic_error);
}

TEST_F(RunMemoryTest, APassFindsItsConstantsAfterAnother) {
  RunConfig config = with_batch(1, 2);
  config.stages[1].rope_theta = 30;  // all that the dense passes differ in
  RunMemory memory(config, *backend_);
  Arena arena(planned_bytes(config, *backend_));
  memory.lay_out(arena);
  randomize(memory.weights(), config.model, 1);
  const auto losses = [&](int64_t stage, Llama& model, const Tensor& inputs, const Tensor& targets) {
    TinyLlama alone(config.model, memory.training_pass(stage, AttentionKind::kDense).settings);
    std::copy_n(alone.inputs.data<int32_t>(), 64, inputs.data<int32_t>());
    std::copy_n(alone.targets.data<int32_t>(), 64, targets.data<int32_t>());
    model.forward(Stream(), memory.weights(), inputs);
    model.loss(Stream(), memory.weights(), targets);
    return std::pair(floats_of(model.losses()), alone.evaluate());
  };
  std::vector<std::vector<float>> seen;
  for (int64_t stage : {0, 1, 0, 1}) {
    const Pass& pass = memory.training_pass(stage, AttentionKind::kDense);
    const auto [actual, expected] = losses(stage, *pass.model, pass.inputs, pass.targets);
    EXPECT_EQ(actual, expected);
    seen.push_back(actual);
  }
  EXPECT_NE(seen[0], seen[1]);
}

}  // namespace
}  // namespace lighthouse
