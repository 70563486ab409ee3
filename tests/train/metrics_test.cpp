#include "lighthouse/train/metrics.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "file_size_limit.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

class MetricsTest : public testing::Test {
 protected:
  static StepMetrics step(int64_t number) {
    StepMetrics metrics;
    metrics.step = number;
    metrics.stage = "pretrain";
    metrics.tokens = 128 * number;
    metrics.loss = 5.0 / static_cast<double>(number);
    metrics.seconds = 0.25 * static_cast<double>(number);
    return metrics;
  }
  void append_text(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }
  std::vector<int64_t> steps() const {
    std::vector<int64_t> result;
    for (const StepMetrics& metrics : read_history(path_).steps) result.push_back(metrics.step);
    return result;
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "metrics.jsonl";
};

TEST_F(MetricsTest, NumbersReadBackToTheLastBit) {
  const std::vector<double> numbers{
      0.1, 1.0 / 3, std::nextafter(1.0, 2.0), 5e-324, 1.7976931348623157e308, 123456789.123456789, -0.0, 3};
  MetricsLog log(path_);
  for (double number : numbers) {
    StepMetrics metrics = step(1);
    metrics.attention = AttentionKind::kLighthouse;
    metrics.loss = metrics.gradient_norm = metrics.learning_rate = number;
    metrics.tokens_per_second = metrics.seconds = number;
    metrics.mfu = number;
    metrics.skipped = true;
    log.append(metrics);
    log.append(ValidationMetrics{7, "re\"covery\n", 99, number, number, -number});
  }
  log.flush();
  const RunHistory history = read_history(path_);
  ASSERT_EQ(history.steps.size(), numbers.size());
  ASSERT_EQ(history.validations.size(), numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    const StepMetrics& m = history.steps[i];
    for (double number : {m.loss, m.gradient_norm, m.learning_rate, m.tokens_per_second, m.seconds, *m.mfu}) {
      EXPECT_EQ(std::bit_cast<uint64_t>(number), std::bit_cast<uint64_t>(numbers[i])) << numbers[i];
    }
    EXPECT_EQ(m.stage, "pretrain");
    EXPECT_EQ(m.attention, AttentionKind::kLighthouse);
    EXPECT_TRUE(m.skipped);
    EXPECT_EQ(m.tokens, 128);
    const ValidationMetrics& v = history.validations[i];
    EXPECT_EQ(v.stage, "re\"covery\n");
    EXPECT_EQ(v.step, 7);
    EXPECT_EQ(v.tokens, 99);
    EXPECT_EQ(v.loss, numbers[i]);
    EXPECT_EQ(v.loss_dense, -numbers[i]);
    EXPECT_EQ(v.seconds, numbers[i]);
  }
}

TEST_F(MetricsTest, LinesHaveTheDocumentedKeys) {
  MetricsLog log(path_);
  log.append(step(1));
  log.append(ValidationMetrics{1, "a", 2, 3, 4, 5});
  const std::vector<std::string> lines = lines_of(path_);
  ASSERT_EQ(lines.size(), 2U);
  const nlohmann::json first = nlohmann::json::parse(lines[0]);
  for (const char* key :
       {"step", "stage", "attention", "tokens", "loss", "grad_norm", "lr", "tokens_per_second", "seconds", "skipped"}) {
    EXPECT_TRUE(first.contains(key)) << key;
  }
  EXPECT_TRUE(first.at("mfu").is_null()) << "the device's peak is not known";
  EXPECT_EQ(first["attention"], "dense");
  const nlohmann::json second = nlohmann::json::parse(lines[1]);
  for (const char* key : {"step", "validation_loss", "validation_loss_dense"}) EXPECT_TRUE(second.contains(key)) << key;
}

TEST_F(MetricsTest, EveryKindOfAttentionReadsBack) {
  MetricsLog log(path_);
  const std::vector<AttentionKind> kinds{AttentionKind::kDense, AttentionKind::kWindow, AttentionKind::kLighthouse};
  for (const AttentionKind kind : kinds) {
    StepMetrics metrics = step(1);
    metrics.attention = kind;
    log.append(metrics);
  }
  log.flush();
  const std::vector<std::string> lines = lines_of(path_);
  const RunHistory history = read_history(path_);
  ASSERT_EQ(history.steps.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(history.steps[i].attention, kinds[i]);
    EXPECT_EQ(nlohmann::json::parse(lines[i])["attention"], name_of(kinds[i]));
  }
}

TEST_F(MetricsTest, ALossThatIsNoNumberStaysNone) {
  MetricsLog log(path_);
  StepMetrics metrics = step(1);
  metrics.loss = std::numeric_limits<double>::quiet_NaN();
  metrics.gradient_norm = std::numeric_limits<double>::infinity();
  log.append(metrics);
  const RunHistory history = read_history(path_);
  EXPECT_TRUE(std::isnan(history.steps.at(0).loss));
  EXPECT_FALSE(std::isfinite(history.steps.at(0).gradient_norm));
}

TEST_F(MetricsTest, ATornLastLineIsPassedOver) {
  MetricsLog log(path_);
  log.append(step(1));
  append_text("{\"step\": 2, \"sta");
  EXPECT_EQ(steps(), (std::vector<int64_t>{1}));
}

TEST_F(MetricsTest, ABrokenLineElsewhereIsRefusedByNumber) {
  MetricsLog log(path_);
  log.append(step(1));
  append_text("{\"step\": 2, \"sta\n");
  log.append(step(3));
  const std::string message = refusal([&] { read_history(path_); });
  EXPECT_TRUE(contains(message, path_.string() + ":2")) << message;
  EXPECT_THROW(read_history(folder_ / "none.jsonl"), InputError);
}

TEST_F(MetricsTest, LaterLinesAreMovedNotLost) {
  MetricsLog log(path_);
  for (int64_t i = 1; i <= 4; ++i) {
    log.append(step(i));
    log.append(ValidationMetrics{i, "a", 0, 0, 1, 1});
  }
  append_text("{\"step\": 5, \"to");
  const std::vector<std::string> before = lines_of(path_);
  const auto discarded = folder_ / "discarded.jsonl";
  std::ofstream(discarded) << "older\n";
  EXPECT_EQ(discard_after(path_, discarded, 2), 4);
  EXPECT_EQ(lines_of(path_), std::vector<std::string>(before.begin(), before.begin() + 4));
  std::vector<std::string> moved{"older"};
  moved.insert(moved.end(), before.begin() + 4, before.end());
  EXPECT_EQ(lines_of(discarded), moved);
  log.append(step(3));
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2, 3}));

  EXPECT_EQ(discard_after(path_, folder_ / "never.jsonl", 3), 0);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "never.jsonl"));
  EXPECT_EQ(discard_after(folder_ / "none.jsonl", discarded, 0), 0);
}

TEST_F(MetricsTest, CopyUpTo) {
  MetricsLog log(path_);
  for (int64_t i = 1; i <= 4; ++i) log.append(step(i));
  append_text("{\"torn");
  copy_up_to(path_, folder_ / "copy.jsonl", 3);
  const std::vector<std::string> lines = lines_of(path_);
  EXPECT_EQ(lines_of(folder_ / "copy.jsonl"), std::vector<std::string>(lines.begin(), lines.begin() + 3));
}

TEST_F(MetricsTest, LinesWaitForAFullDisk) {
  MetricsLog log(path_);
  log.append(step(1));
  const std::string one = read_file(path_);
  {
    const FileSizeLimit full(static_cast<int64_t>(one.size()) + 20);
    log.append(step(2));
    log.append(step(3));
    EXPECT_EQ(read_file(path_), one) << "no half line stays";
    EXPECT_TRUE(contains(refusal([&] { log.flush(); }), path_.string()));
  }
  log.append(step(4));
  EXPECT_EQ(steps(), (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_NO_THROW(log.flush());
}

TEST_F(MetricsTest, AFullDeviceIsNamed) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  MetricsLog log("/dev/full");
  EXPECT_NO_THROW(log.append(step(1)));
  const std::string message = refusal([&] { log.flush(); });
  EXPECT_TRUE(contains(message, "/dev/full") && contains(message, "space")) << message;
}

}  // namespace
}  // namespace lighthouse
