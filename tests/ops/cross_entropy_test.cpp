#include <algorithm>
#include <stdexcept>

#include "op_test.h"

namespace lighthouse {
namespace {

double loss_of(const std::vector<double>& logits, size_t row, size_t width, size_t vocab_size, int target) {
  double peak = -1e300, sum = 0;
  for (size_t v = 0; v < vocab_size; ++v) peak = std::max(peak, logits[row * width + v]);
  for (size_t v = 0; v < vocab_size; ++v) sum += std::exp(logits[row * width + v] - peak);
  return peak + std::log(sum) - logits[row * width + static_cast<size_t>(target)];
}

class CrossEntropyTest : public OpTest {
 protected:
  static Ints targets(int64_t rows, int vocab_size) {
    Ints result({rows});
    for (int64_t t = 0; t < rows; ++t) result[t] = t % 4 == 3 ? -1 : static_cast<int>(t * 37 % vocab_size);
    return result;
  }
};

TEST_F(CrossEntropyTest, LossesAndGradient) {
  for (const int vocab_size : {1, 100, 1025}) {
    const int64_t rows = 9, width = vocab_size + 27;
    const double scale = 0.125;
    Floats logits = random_floats({rows, width}, 1, 5.0f);
    for (int64_t t = 0; t < rows; ++t) logits[t * width + vocab_size] = 1000.0f;  // padding must not count
    const std::vector<double> before = values_of(logits);
    const Ints target = targets(rows, vocab_size);

    std::vector<double> expected, gradient(before.size(), 0.0);
    for (size_t t = 0; t < static_cast<size_t>(rows); ++t) {
      const int label = target.values[t];
      const auto w = static_cast<size_t>(width), n = static_cast<size_t>(vocab_size);
      expected.push_back(label < 0 ? 0 : loss_of(before, t, w, n, label));
      if (label < 0) continue;
      for (size_t v = 0; v < n; ++v) {
        const double p = std::exp(-loss_of(before, t, w, n, static_cast<int>(v)));
        gradient[t * w + v] = scale * (p - (static_cast<int>(v) == label ? 1 : 0));
      }
    }

    Floats losses({rows});
    backend_->cross_entropy_forward(stream_, losses, logits, target, vocab_size);
    EXPECT_TRUE(close(losses, expected, 1e-6));
    EXPECT_TRUE(close(logits, before, 0));
    Floats again({rows});
    backend_->cross_entropy_forward_backward(stream_, again, logits, target, vocab_size, scale);
    EXPECT_EQ(again.values, losses.values);
    EXPECT_TRUE(close(logits, gradient, 1e-6));
  }
}

TEST_F(CrossEntropyTest, RefusesATargetInThePadding) {
  Floats losses({1}), logits = random_floats({1, 8}, 1);
  Ints target({1});
  target[0] = 6;
  EXPECT_THROW(backend_->cross_entropy_forward(stream_, losses, logits, target, 6), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
