#include "lighthouse/train/comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lighthouse {
namespace {

/// A run of 100 tokens and half a second a step.
class History {
 public:
  History& add(const std::string& stage, AttentionKind kind, const std::vector<double>& losses) {
    for (double loss : losses) {
      StepMetrics m;
      m.step = static_cast<int64_t>(history_.steps.size()) + 1;
      m.stage = stage;
      m.attention = kind;
      m.tokens = 100 * m.step;
      m.seconds = 0.5 * static_cast<double>(m.step);
      m.tokens_per_second = 200;
      m.loss = loss;
      history_.steps.push_back(m);
    }
    return *this;
  }
  History& validate(double dense) {
    const StepMetrics& m = history_.steps.back();
    history_.validations.push_back({m.step, m.stage, m.tokens, m.seconds, dense - 1, dense});
    return *this;
  }
  RunHistory history_;
};

constexpr auto kD = AttentionKind::kDense;
constexpr auto kL = AttentionKind::kLighthouse;
constexpr auto kW = AttentionKind::kWindow;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Comparison, ValidationIsInterpolatedBetweenMeasurements) {
  History h;
  h.add("a", kD, {5, 5}).validate(4).add("a", kD, {5, 5}).validate(2);
  EXPECT_DOUBLE_EQ(*dense_validation_at_tokens(h.history_, 200), 4);
  EXPECT_DOUBLE_EQ(*dense_validation_at_tokens(h.history_, 250), 3.5);
  EXPECT_DOUBLE_EQ(*dense_validation_at_tokens(h.history_, 400), 2);
  EXPECT_DOUBLE_EQ(*dense_validation_at_seconds(h.history_, 1.75), 2.5);
  EXPECT_FALSE(dense_validation_at_tokens(h.history_, 199)) << "nothing before it";
  EXPECT_FALSE(dense_validation_at_tokens(h.history_, 401)) << "nothing after it";
  EXPECT_FALSE(dense_validation_at_seconds(RunHistory(), 1));
}

TEST(Comparison, TrainingLossIsAMeanOfTenSteps) {
  History h;
  h.add("a", kD, {100, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  EXPECT_DOUBLE_EQ(*training_loss_at_tokens(h.history_, 1100), 5.5);
  EXPECT_DOUBLE_EQ(*training_loss_at_tokens(h.history_, 1199), 5.5);
  EXPECT_DOUBLE_EQ(*training_loss_at_tokens(h.history_, 1200), 6.5);
  EXPECT_DOUBLE_EQ(*training_loss_at_seconds(h.history_, 1.0), 50.5);
  EXPECT_FALSE(training_loss_at_tokens(h.history_, 99));
}

TEST(Comparison, SkippedStepsHaveNoLoss) {
  History h;
  h.add("a", kD, {4, kNan, 2});
  h.history_.steps[1].skipped = true;
  EXPECT_DOUBLE_EQ(*training_loss_at_tokens(h.history_, 300), 3);
  h.history_.steps[0].skipped = h.history_.steps[2].skipped = true;
  EXPECT_FALSE(training_loss_at_tokens(h.history_, 300));
}

TEST(Comparison, StagesAreSummedUp) {
  History h;
  h.add("pretrain", kL, {5, 5, 5}).add("pretrain", kD, {5}).add("recovery", kD, {4, 4});
  h.history_.steps[0].tokens_per_second = 50;  // two seconds; the others take half a second
  const std::vector<StageSummary> stages = summarise_stages(h.history_);
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages[0].name, "pretrain");
  EXPECT_EQ(stages[0].attention, kL) << "of most of its steps";
  EXPECT_EQ(stages[0].steps, 4);
  EXPECT_DOUBLE_EQ(stages[0].tokens_per_second, 400 / 3.5);
  EXPECT_EQ(stages[1].name, "recovery");
  EXPECT_EQ(stages[1].attention, kD);
  EXPECT_EQ(stages[1].steps, 2);
  EXPECT_DOUBLE_EQ(stages[1].tokens_per_second, 200);
  EXPECT_TRUE(summarise_stages(RunHistory()).empty());
}

TEST(Comparison, AWindowStageIsOne) {
  History h;
  h.add("local", kW, {5, 5}).add("local", kD, {5}).add("sparse", kD, {5}).add("sparse", kL, {5}).add("end", kD, {4});
  const std::vector<StageSummary> stages = summarise_stages(h.history_);
  ASSERT_EQ(stages.size(), 3U);
  EXPECT_EQ(stages[0].attention, kW) << "of most of its steps";
  EXPECT_EQ(stages[1].attention, kL) << "every second step is dense";
  EXPECT_EQ(stages[2].attention, kD);
}

TEST(Comparison, ASwitchJumpsAndRecovers) {
  History h;
  h.add("pretrain", kL, std::vector<double>(5, 9)).add("pretrain", kL, std::vector<double>(10, 2));
  h.add("recovery", kD, {5, 3, 1, 1, 0});
  // Means after the switch: 5, 4, 3, 2.5, 2.
  const std::vector<SwitchSummary> switches = summarise_switches(h.history_);
  ASSERT_EQ(switches.size(), 1U);
  EXPECT_EQ(switches[0].from, "pretrain");
  EXPECT_EQ(switches[0].to, "recovery");
  EXPECT_EQ(switches[0].step, 15);
  EXPECT_DOUBLE_EQ(switches[0].before, 2);
  EXPECT_DOUBLE_EQ(switches[0].after, 5);
  EXPECT_DOUBLE_EQ(switches[0].jump(), 3);
  EXPECT_EQ(switches[0].steps_to_recover, 5);
}

TEST(Comparison, TheMeanAfterASwitchForgetsTheJump) {
  History h;
  h.add("pretrain", kL, std::vector<double>(10, 2))
      .add("recovery", kD, {1000})
      .add("recovery", kD, std::vector<double>(15, 2));
  EXPECT_EQ(summarise_switches(h.history_).at(0).steps_to_recover, 11);
}

TEST(Comparison, ARunThatHasNotRecoveredSaysSo) {
  History h;
  h.add("pretrain", kL, {2, 2}).add("recovery", kD, {5, 4, 3}).add("third", kD, {1});
  const std::vector<SwitchSummary> switches = summarise_switches(h.history_);
  ASSERT_EQ(switches.size(), 2U);
  EXPECT_FALSE(switches[0].steps_to_recover) << "the stage after next does not count";
  EXPECT_DOUBLE_EQ(switches[1].before, 4);
  EXPECT_EQ(switches[1].steps_to_recover, 1);
  EXPECT_LT(switches[1].jump(), 0);
}

TEST(Comparison, WhereRunsCanBeCompared) {
  History a;
  a.add("a", kD, {1, 1, 1});
  History b;
  b.add("a", kD, {1, 1});
  b.history_.steps.back().seconds = 7;
  EXPECT_EQ(common_tokens({a.history_, b.history_}), 200);
  EXPECT_EQ(common_seconds({a.history_, b.history_}), 1.5);
  EXPECT_EQ(common_tokens({a.history_, RunHistory()}), 0);
}

}  // namespace
}  // namespace lighthouse
