#include "lighthouse/eval/validation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/shard_files.h"
#include "lighthouse/data/batch.h"
#include "model/tiny_llama.h"

namespace lighthouse {
namespace {

constexpr int64_t kLength = 16;

std::vector<int32_t> ints_of(const Tensor& tensor) {
  return {tensor.data<int32_t>(), tensor.data<int32_t>() + tensor.numel()};
}

TEST(SplitWindows, InputsAndTargetsAreOneApart) {
  TinyLlama tiny(tiny_config(), dense_pass(2, 3));
  const std::vector<int32_t> windows{1, 2, 3, 4, 5, 6, 7, 8};
  split_windows(windows, tiny.inputs, tiny.targets);
  EXPECT_EQ(ints_of(tiny.inputs), (std::vector<int32_t>{1, 2, 3, 5, 6, 7}));
  EXPECT_EQ(ints_of(tiny.targets), (std::vector<int32_t>{2, 3, 4, 6, 7, 8}));
}

TEST(SplitWindows, RowsWithoutAWindowHaveNoLoss) {
  TinyLlama tiny(tiny_config(), dense_pass(2, 3));
  const std::vector<int32_t> windows{1, 2, 3, 4};
  split_windows(windows, tiny.inputs, tiny.targets);
  EXPECT_EQ(ints_of(tiny.inputs), (std::vector<int32_t>{1, 2, 3, 0, 0, 0}));
  EXPECT_EQ(ints_of(tiny.targets), (std::vector<int32_t>{2, 3, 4, -1, -1, -1}));
}

class ValidationLoss : public testing::Test {
 protected:
  static constexpr int64_t kWindows = 11;

  ValidationLoss() : tokens_(random_tokens(kWindows * kLength + 1, 50, 4)) {
    source_ = std::make_unique<WindowedSource>(write_shard(folder_ / "val.bin", tokens_), kLength, 50);
  }

  double validate(int64_t windows, int64_t batch) {
    PassSettings pass = dense_pass(batch, kLength);
    pass.backward = false;
    TinyLlama tiny(tiny_config(), pass);
    return loss_of(tiny, windows);
  }

  double loss_of(TinyLlama& tiny, int64_t windows) {
    BatchFeed feed(*tiny.backend, tiny.inputs.numel());
    return validation_loss(tiny.model, tiny.weights, *source_, windows, tiny.inputs, tiny.targets, feed, *tiny.backend);
  }

  /// The mean loss of the windows with these numbers.
  double by_hand(const std::vector<int64_t>& windows) {
    TinyLlama tiny(tiny_config(), dense_pass(1, kLength));
    double sum = 0;
    for (int64_t window : windows) {
      const auto first = tokens_.begin() + window * kLength;
      tiny.set_batch({first, first + kLength}, {first + 1, first + kLength + 1});
      for (float loss : tiny.evaluate()) sum += loss;
    }
    return sum / static_cast<double>(static_cast<int64_t>(windows.size()) * kLength);
  }

  TemporaryFolder folder_;
  std::vector<int32_t> tokens_;
  std::unique_ptr<WindowedSource> source_;
};

TEST_F(ValidationLoss, OfAllWindows) {
  const double all = by_hand({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  EXPECT_NEAR(validate(11, 1), all, 1e-6);
  EXPECT_NEAR(validate(11, 4), all, 1e-6) << "with a last batch that is not full";
  EXPECT_NEAR(validate(1000, 4), all, 1e-6) << "of more windows than there are";
}

TEST_F(ValidationLoss, OfSomeSpreadEvenly) {
  EXPECT_NEAR(validate(5, 2), by_hand({0, 2, 4, 6, 8}), 1e-6);
  EXPECT_NEAR(validate(2, 4), by_hand({0, 5}), 1e-6);
  EXPECT_GT(std::abs(by_hand({0, 5}) - by_hand({0, 1})), 1e-3) << "the windows are alike: the test shows nothing";
}

TEST_F(ValidationLoss, IsTheSameAtEveryCall) {
  TinyLlama tiny(tiny_config(), dense_pass(3, kLength));
  const auto loss = [&] { return loss_of(tiny, 7); };
  const double first = loss();
  tiny.forward_backward();  // overwrites activations in between
  EXPECT_EQ(loss(), first);
}

}  // namespace
}  // namespace lighthouse
