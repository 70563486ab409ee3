// A run changes its device at a checkpoint.
#include "gpu_run.h"

namespace lighthouse {
namespace {

class GpuDevices : public GpuRun {
 protected:
  /// Goes on to step `end`, where a signal stops it, or to the end of the run.
  void run_steps(Backend& backend, int64_t end) {
    Recorder recorder;
    if (end < 9) {
      recorder.on_step = raise_at(end);
      EXPECT_THROW(train_on(backend, moved_, recorder, resuming()), Interrupted);
    } else {
      train_on(backend, moved_, recorder, resuming());
    }
    EXPECT_EQ(recorder.first, reached_);
    if (reached_ > 0) expect_told(recorder.notes);
    reached_ = checkpoints_of(moved_).back();
    EXPECT_GE(reached_, end);
  }

  static void expect_told(const std::vector<std::string>& notes) {
    const auto tells = [](const std::string& note) { return note.find("losses may differ") != note.npos; };
    EXPECT_EQ(std::count_if(notes.begin(), notes.end(), tells), 1) << "of the other environment";
  }

  /// All losses, of steps and of validations, are close to those of the run that stayed on the CPU.
  void expect_curve_near(double tolerance) {
    const RunHistory actual = read_history(in_run(moved_, "metrics.jsonl"));
    const RunHistory expected = read_history(in_run(stayed_, "metrics.jsonl"));
    ASSERT_EQ(actual.steps.size(), 9U);
    for (size_t i = 0; i < 9; ++i) {
      EXPECT_EQ(actual.steps[i].step, static_cast<int64_t>(i) + 1);
      EXPECT_EQ(actual.steps[i].tokens, expected.steps[i].tokens);
      EXPECT_NEAR(actual.steps[i].loss, expected.steps[i].loss, tolerance) << "step " << i + 1;
    }
    ASSERT_EQ(actual.validations.size(), expected.validations.size());
    for (size_t i = 0; i < expected.validations.size(); ++i) {
      EXPECT_EQ(actual.validations[i].step, expected.validations[i].step);
      EXPECT_NEAR(actual.validations[i].loss, expected.validations[i].loss, tolerance);
    }
  }

  void expect_moves(const CudaOptions& options, double tolerance) {
    const auto cpu = make_cpu_backend(), gpu = make_cuda_backend(options);
    train_on(*cpu, stayed_);
    run_steps(*cpu, 3);
    run_steps(*gpu, 6);
    run_steps(*cpu, 9);
    expect_curve_near(tolerance);
  }

  void use(AttentionKind kind) {
    stayed_ = run_of(kind, folder_, "stayed");
    moved_ = run_of(kind, folder_, "moved");
  }

  RunConfig stayed_ = dense_run(folder_, "stayed"), moved_ = dense_run(folder_, "moved");
  int64_t reached_ = 0;
};

TEST_F(GpuDevices, ToFloat32OnTheGpuAndBack) {
  expect_moves(kFloat32, 1e-4);
}

TEST_F(GpuDevices, ToBfloat16OnTheGpuAndBack) {
  expect_moves(kBFloat16, 2e-2);
}

TEST_F(GpuDevices, WithLighthouseStages) {
  use(AttentionKind::kLighthouse);
  expect_moves(kFloat32, 2e-3);  // a rounding can flip a selection
}

TEST_F(GpuDevices, FromBfloat16ToFloat32OnTheGpu) {
  const auto cpu = make_cpu_backend(), rounding = make_cuda_backend(kBFloat16), exact = make_cuda_backend(kFloat32);
  train_on(*cpu, stayed_);
  run_steps(*rounding, 5);
  run_steps(*exact, 9);
  expect_curve_near(2e-2);
}

}  // namespace
}  // namespace lighthouse
