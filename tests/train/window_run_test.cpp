// Runs whose stages attend in windows, alone and beside Lighthouse: they learn, and a stop changes nothing.
#include <gtest/gtest.h>

#include "tiny_run.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

using Change = void (*)(RunConfig&);

/// A window of 9 in every layer.
void windows_alone(RunConfig& config) {
  config.stages[0].attention = AttentionKind::kWindow;
  config.stages[0].dense_every = 0;
  config.attention.window = 9;
}

/// The same, with dense steps between.
void windows_and_dense_steps(RunConfig& config) {
  windows_alone(config);
  config.stages[0].dense_every = 2;
}

/// Lighthouse with a window beside in the second layer, a window alone in the first; every second step is dense.
void lighthouse_beside_windows(RunConfig& config) {
  config.attention.window = 9;
  config.attention.lighthouse.window = 5;
  config.attention.lighthouse.dense_layers = {};
  config.attention.lighthouse.window_layers = {0};
}

/// The model has a window of its own in its first layer, which stays in both stages.
void a_window_of_the_models_own(RunConfig& config) {
  config.model.sliding_window = 20;
  config.model.full_attention_layers = {1};
  config.attention.lighthouse.dense_layers = {};
}

struct RunCase {
  const char* name;
  Change change;
  AttentionKind kind;
  int64_t dense_every;
};

class WindowRun : public testing::TestWithParam<RunCase> {
 protected:
  RunConfig run(const std::string& name) const {
    RunConfig config = tiny_run(folder_, name);
    GetParam().change(config);
    return config;
  }
  static std::string weights_of(const RunConfig& config, int64_t step) {
    return read_file(checkpoint_of(config, step) / "model.safetensors");
  }

  TemporaryFolder folder_;
};

TEST_P(WindowRun, LearnsAndIsResumedToTheBit) {
  const RunConfig whole = run("whole"), stopped = run("stopped");
  train(whole);
  const RunHistory history = read_history(in_run(whole, "metrics.jsonl"));
  ASSERT_EQ(history.steps.size(), 9U);
  const int64_t dense_every = GetParam().dense_every;
  for (size_t i = 0; i < 9; ++i) {
    const auto step = static_cast<int64_t>(i) + 1;
    const bool dense = step > 5 || (dense_every > 0 && step % dense_every == 0);
    EXPECT_EQ(history.steps[i].attention, dense ? AttentionKind::kDense : GetParam().kind) << "step " << step;
  }
  EXPECT_LT(history.steps.back().loss, history.steps.front().loss);
  for (const ValidationMetrics& m : history.validations) {
    EXPECT_EQ(m.loss == m.loss_dense, m.step > 5) << "validation in the stage's own attention, step " << m.step;
  }

  // Inside the first stage, before the switch and after it.
  for (const int64_t step : {2, 3, 5, 7}) {
    SCOPED_TRACE(testing::Message() << "stopped after step " << step);
    fs::remove_all(stopped.run.directory);
    Recorder first;
    first.on_step = raise_at(step);
    EXPECT_THROW(train(stopped, first), Interrupted);
    ASSERT_EQ(checkpoints_of(stopped).back(), step);
    Recorder second;
    train(stopped, second, resuming());
    EXPECT_EQ(second.first, step);
    EXPECT_EQ(curve_of(stopped), curve_of(whole));
    EXPECT_TRUE(weights_of(stopped, 9) == weights_of(whole, 9));
  }
}

TEST_P(WindowRun, RecomputingChangesNoBit) {
  const RunConfig kept = run("kept");
  train(kept);
  for (const RecomputeChoice choice : {RecomputeChoice::kNorms, RecomputeChoice::kMlp, RecomputeChoice::kBlock}) {
    RunConfig recomputing = run("recomputing");
    fs::remove_all(recomputing.run.directory);
    for (StageSection& stage : recomputing.stages) stage.recompute = choice;
    train(recomputing);
    EXPECT_EQ(curve_of(recomputing), curve_of(kept));
    EXPECT_TRUE(weights_of(recomputing, 9) == weights_of(kept, 9));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Runs, WindowRun,
    testing::Values(RunCase{"windows", windows_alone, AttentionKind::kWindow, 0},
                    RunCase{"windows_and_dense_steps", windows_and_dense_steps, AttentionKind::kWindow, 2},
                    RunCase{"lighthouse", lighthouse_beside_windows, AttentionKind::kLighthouse, 2},
                    RunCase{"models_own", a_window_of_the_models_own, AttentionKind::kLighthouse, 2}),
    [](const auto& of) { return std::string(of.param.name); });

TEST(WindowRuns, WidthsChangeTheRun) {
  const TemporaryFolder folder;
  const auto curve = [&](const std::string& name, int64_t window, int64_t beside) {
    RunConfig config = tiny_run(folder, name);
    lighthouse_beside_windows(config);
    config.attention.window = window;
    config.attention.lighthouse.window = beside;
    train(config);
    return curve_of(config);
  };
  const std::vector<std::string> as_it_is = curve("as_it_is", 9, 5);
  EXPECT_NE(curve("wider_alone", 10, 5), as_it_is);
  EXPECT_NE(curve("wider_beside", 9, 6), as_it_is);
  EXPECT_NE(curve("none_beside", 9, 0), as_it_is);
}

}  // namespace
}  // namespace lighthouse
