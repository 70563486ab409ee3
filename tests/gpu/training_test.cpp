// A training step on the GPU is that of the CPU, however it is cut up, recomputed or replayed.
#include <cmath>

#include "gpu_run.h"
#include "lighthouse/ops/cost_meter.h"

namespace lighthouse {
namespace {

double relative_distance(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / size);
}

class GpuTraining : public GpuRun {
 protected:
  RunConfig config(int64_t micro, int64_t global) const { return with_batch(dense_run(folder_), micro, global); }
  RunConfig lighthouse_config(int64_t micro, int64_t global) const {
    return with_batch(lighthouse_run(folder_), micro, global);
  }

  /// The losses of `count` steps stay close.
  static void expect_losses_near(Steps& actual, Steps& expected, int count, double tolerance) {
    for (int i = 0; i < count; ++i) {
      const double loss = expected.run().loss;
      EXPECT_NEAR(actual.run().loss, loss, tolerance) << "step " << i + 1;
    }
  }

  static void expect_same_step(Steps& actual, Steps& expected) {
    const StepResult a = actual.run(), e = expected.run();
    EXPECT_NEAR(a.loss, e.loss, 1e-5 * e.loss);
    EXPECT_NEAR(a.gradient_norm, e.gradient_norm, 1e-5 * e.gradient_norm);
    EXPECT_FALSE(a.skipped);
    EXPECT_LT(relative_distance(actual.gradients(), expected.gradients()), 1e-5);
  }

  std::unique_ptr<Backend> cpu_ = make_cpu_backend();
};

TEST_F(GpuTraining, InFloat32AStepIsTheCpus) {
  Steps actual(config(2, 4), *gpu_), expected(config(2, 4), *cpu_);
  expect_same_step(actual, expected);
  for (int i = 1; i < 5; ++i) {
    actual.run();
    expected.run();
  }
  EXPECT_LT(relative_distance(actual.weights(), expected.weights()), 1e-4);
  EXPECT_EQ(actual.memory.optimizer().updates(), 5);
}

// After the first step a rounding can flip a selection.
TEST_F(GpuTraining, InFloat32ALighthouseStepIsTheCpus) {
  Steps actual(lighthouse_config(2, 4), *gpu_), expected(lighthouse_config(2, 4), *cpu_);
  expect_same_step(actual, expected);
  expect_losses_near(actual, expected, 5, 1e-3);
}

TEST_F(GpuTraining, InBfloat16LighthouseLossesFollowTheCpus) {
  const auto gpu = make_cuda_backend(kBFloat16);
  Steps actual(lighthouse_config(2, 4), *gpu), expected(lighthouse_config(2, 4), *cpu_);
  expect_losses_near(actual, expected, 10, 3e-2);
}

TEST_F(GpuTraining, InBfloat16LossesFollowTheCpus) {
  const auto gpu = make_cuda_backend(kBFloat16);
  Steps actual(config(2, 4), *gpu), expected(config(2, 4), *cpu_);
  expect_losses_near(actual, expected, 10, 2e-2);
}

TEST_F(GpuTraining, InFloat32AStepWithinDocumentsIsTheCpus) {
  const RunConfig masked = with_batch(masked_run(folder_), 2, 4);
  Steps actual(masked, *gpu_), expected(masked, *cpu_);
  expect_same_step(actual, expected);
  expect_losses_near(actual, expected, 5, 1e-5);
  RunConfig unmasked = masked;
  unmasked.data.document_mask = DocumentMask::kNone;
  resolve_stages(unmasked);
  EXPECT_GT(std::abs(Steps(unmasked, *gpu_).run().gradient_norm - Steps(masked, *gpu_).run().gradient_norm), 1e-4);
}

// Three micro-batches: where documents lie is read back from the device, so none is replayed from a graph.
TEST_F(GpuTraining, InBfloat16LossesWithinDocumentsFollowTheCpus) {
  const RunConfig masked = with_batch(masked_run(folder_), 2, 6);
  const auto gpu = make_cuda_backend(kBFloat16);
  Steps actual(masked, *gpu), expected(masked, *cpu_);
  expect_losses_near(actual, expected, 10, 2e-2);
  EXPECT_EQ(actual.pass().recording.graph, nullptr);
}

TEST_F(GpuTraining, ARunWithinDocumentsFollowsTheCpus) {
  for (const CudaOptions& type : {kFloat32, kBFloat16}) {
    const auto gpu = make_cuda_backend(type);
    const std::string name(name_of(type.dtype));
    Recorder actual, expected;
    train_on(*gpu, masked_run(folder_, "gpu-" + name), actual);
    train_on(*cpu_, masked_run(folder_, "cpu-" + name), expected);
    ASSERT_EQ(actual.steps.size(), expected.steps.size());
    ASSERT_EQ(actual.validations.size(), expected.validations.size());
    ASSERT_FALSE(actual.validations.empty());
    const double tolerance = type.dtype == DType::kFloat32 ? 1e-4 : 2e-2;
    for (size_t i = 0; i < actual.steps.size(); ++i) {
      EXPECT_NEAR(actual.steps[i].loss, expected.steps[i].loss, tolerance) << name << ", step " << i + 1;
    }
    for (size_t i = 0; i < actual.validations.size(); ++i) {
      EXPECT_NEAR(actual.validations[i].loss_dense, expected.validations[i].loss_dense, tolerance) << name;
    }
  }
}

TEST_F(GpuTraining, DocumentsInBfloat16WithTheSameBitsAreRefused) {
  const auto gpu = make_cuda_backend(kDeterministic);
  const std::string message = refusal([&] { train_on(*gpu, masked_run(folder_)); });
  EXPECT_TRUE(contains(message, "data.document_mask")) << message;
  EXPECT_TRUE(contains(message, "run.deterministic")) << message;
}

TEST_F(GpuTraining, SmallBatchesAddUpToALargeOne) {
  Steps four(config(1, 4), *gpu_), one(config(4, 4), *gpu_);
  for (int i = 0; i < 4; ++i) {
    const StepResult a = four.run(), b = one.run();
    EXPECT_NEAR(a.loss, b.loss, 1e-6 * b.loss) << "step " << i;
    EXPECT_NEAR(a.gradient_norm, b.gradient_norm, 1e-4 * b.gradient_norm) << "step " << i;
  }
}

TEST_F(GpuTraining, SmallBatchesAddUpToALargeOneInBfloat16) {
  const auto gpu = make_cuda_backend(kBFloat16);
  Steps four(config(1, 4), *gpu), one(config(4, 4), *gpu);
  expect_losses_near(four, one, 4, 1e-2);
}

TEST_F(GpuTraining, MomentsInBfloat16TrainLikeThoseInFloat32) {
  const auto gpu = make_cuda_backend(kBFloat16);
  RunConfig rounded = config(2, 2);
  rounded.optimizer.state_dtype = DType::kBFloat16;
  Steps actual(rounded, *gpu), expected(config(2, 2), *gpu);
  EXPECT_EQ(actual.memory.optimizer().state("exp_avg").elements.dtype(), DType::kBFloat16);
  expect_losses_near(actual, expected, 20, 3e-2);
}

TEST_F(GpuTraining, LearnsASequenceByHeart) {
  RunConfig one = config(1, 1);
  one.optimizer.learning_rate = 0.01;
  write_shard(one.data.train[0].path, random_tokens(65, 257, 8));
  const auto gpu = make_cuda_backend(kBFloat16);
  Steps steps(one, *gpu);
  const double first = steps.run().loss;
  EXPECT_NEAR(first, std::log(257), 0.1) << "an untrained model knows nothing";
  double last = first;
  for (int i = 0; i < 150; ++i) last = steps.run().loss;
  EXPECT_LT(last, 0.2 * first);
}

struct BitsCase {
  DType type;
  AttentionKind attention;
};

/// With the same bits on every call.
class GpuTrainingBits : public GpuRun, public testing::WithParamInterface<BitsCase> {
 protected:
  CudaOptions options() const override { return GetParam().type == DType::kFloat32 ? kFloat32 : kDeterministic; }
  RunConfig config(int64_t micro, int64_t global) const {
    return with_batch(run_of(GetParam().attention, folder_), micro, global);
  }
};

TEST_P(GpuTrainingBits, AreThoseOfEachRecompute) {
  Steps kept(config(2, 4), *gpu_);
  std::vector<StepResult> results;
  std::vector<std::vector<float>> gradients;
  for (int i = 0; i < 3; ++i) {
    results.push_back(kept.run());
    gradients.push_back(kept.gradients());
  }
  for (const RecomputeChoice choice : {RecomputeChoice::kNorms, RecomputeChoice::kMlp, RecomputeChoice::kBlock}) {
    SCOPED_TRACE(name_of(recompute_of(choice)));
    RunConfig recomputing = config(2, 4);
    recomputing.stages[0].recompute = choice;
    Steps steps(recomputing, *gpu_);
    for (size_t i = 0; i < results.size(); ++i) {
      const StepResult result = steps.run();
      EXPECT_EQ(result.loss, results[i].loss) << "step " << i + 1;
      EXPECT_EQ(result.gradient_norm, results[i].gradient_norm) << "step " << i + 1;
      EXPECT_TRUE(steps.gradients() == gradients[i]) << "step " << i + 1;
    }
    EXPECT_TRUE(steps.weights() == kept.weights());
  }
}

// The first micro-batch runs as it is, the second is recorded, the others replay it. While a
// CostMeter observes the backend, nothing is recorded.
TEST_P(GpuTrainingBits, AreThoseOfAReplayedGraph) {
  for (const int64_t micro_batches : {1, 3}) {
    SCOPED_TRACE(micro_batches);
    Steps replayed(config(1, micro_batches), *gpu_), direct(config(1, micro_batches), *gpu_);
    for (int step = 1; step <= 4; ++step) {
      SCOPED_TRACE(step);
      const StepResult a = replayed.run();
      const StepResult b = [&] {
        const CostMeter meter(*gpu_, CostMeter::Mode::kTime);
        return direct.run();
      }();
      EXPECT_EQ(a.loss, b.loss);
      EXPECT_EQ(a.gradient_norm, b.gradient_norm);
      EXPECT_TRUE(replayed.gradients() == direct.gradients());
      EXPECT_EQ(replayed.pass().recording.graph != nullptr, step * micro_batches > 1);
      EXPECT_EQ(direct.pass().recording.graph, nullptr);
    }
    EXPECT_TRUE(replayed.weights() == direct.weights());
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GpuTrainingBits,
                         testing::Values(BitsCase{DType::kFloat32, AttentionKind::kDense},
                                         BitsCase{DType::kBFloat16, AttentionKind::kDense},
                                         BitsCase{DType::kFloat32, AttentionKind::kLighthouse},
                                         BitsCase{DType::kBFloat16, AttentionKind::kLighthouse}),
                         [](const auto& tested) {
                           return std::string(name_of(tested.param.type)) + "_" +
                                  std::string(name_of(tested.param.attention));
                         });

}  // namespace
}  // namespace lighthouse
