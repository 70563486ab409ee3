// With run.deterministic a bfloat16 run gives the same bits again, stopped and resumed or not.
#include "gpu_run.h"
#include "lighthouse/kernels/cuda_scratch.h"

namespace lighthouse {
namespace {

struct Case {
  const char* name;
  int64_t length;
  int64_t attention_workspace;  // bytes
  AttentionKind attention = AttentionKind::kDense;
};

class GpuRepeat : public GpuRun, public testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    GpuRun::SetUp();
    if (!IsSkipped()) train_on(*gpu_, first_);
  }
  CudaOptions options() const override {
    CudaOptions options = kDeterministic;
    options.attention_workspace = GetParam().attention_workspace;
    return options;
  }

  void expect_as_first() {
    EXPECT_EQ(curve_of(again_), curve_of(first_));
    EXPECT_EQ(checkpoints_of(first_), (std::vector<int64_t>{3, 5, 6, 9}));
    expect_same_checkpoint(again_, first_, 9);
  }

  RunConfig first_ = run_of(GetParam().attention, folder_, "first", GetParam().length);
  RunConfig again_ = run_of(GetParam().attention, folder_, "again", GetParam().length);
};

TEST_P(GpuRepeat, TheSameConfigGivesTheSameRun) {
  train_on(*gpu_, again_);
  expect_as_first();
  for (const int64_t step : {3, 5, 6}) expect_same_checkpoint(again_, first_, step);
}

TEST_P(GpuRepeat, AnotherBackendGivesTheSameRun) {
  const auto another = make_cuda_backend(options());
  train_on(*another, again_);
  expect_as_first();
}

TEST_P(GpuRepeat, StoppedAtEachStepItEndsAsIfItHadNotBeen) {
  for (int64_t step = 1; step <= 9; ++step) {
    SCOPED_TRACE(step);
    std::filesystem::remove_all(again_.run.directory);
    Recorder stopped;
    stopped.on_step = raise_at(step);
    EXPECT_THROW(train_on(*gpu_, again_, stopped), Interrupted);
    const int64_t saved = checkpoints_of(again_).back();
    EXPECT_EQ(saved, static_cast<int64_t>(stopped.steps.size())) << "the last finished step is saved";
    EXPECT_NO_THROW(verify_checkpoint(checkpoint_of(again_, saved)));
    Recorder resumed;
    train_on(*gpu_, again_, resumed, resuming());
    EXPECT_EQ(resumed.first, saved);
    EXPECT_TRUE(resumed.warnings.empty());
    EXPECT_EQ(curve_of(again_), curve_of(first_));
    expect_same_checkpoint(again_, first_, 9);
  }
}

TEST_P(GpuRepeat, FromAnEarlierCheckpointItEndsTheSame) {
  train_on(*gpu_, again_);
  for (const int64_t step : {3, 5, 6}) {
    SCOPED_TRACE(step);
    train_on(*gpu_, again_, resuming_from(step));
    expect_as_first();
  }
}

constexpr int64_t kLong = 512;
const Shape kOneSequence{1, kLong, 2, 32}, kTwoSequences{2, kLong, 2, 32};  // q of the two stages
const int64_t kSmallWorkspace = cuda_scratch::deterministic_workspace(kTwoSequences, 128);

TEST(GpuRepeatCases, TheSmallWorkspaceTakesAttentionInChunks) {
  EXPECT_EQ(cuda_scratch::query_chunk(kOneSequence, kSmallWorkspace), 256);
  EXPECT_EQ(cuda_scratch::query_chunk(kTwoSequences, kSmallWorkspace), 128);
}

INSTANTIATE_TEST_SUITE_P(
    Attention, GpuRepeat,
    testing::Values(Case{"Whole", 64, CudaOptions().attention_workspace}, Case{"InChunks", kLong, kSmallWorkspace},
                    Case{"Lighthouse", 64, CudaOptions().attention_workspace, AttentionKind::kLighthouse}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace lighthouse
