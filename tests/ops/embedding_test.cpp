#include <stdexcept>

#include "op_test.h"

namespace lighthouse {
namespace {

class EmbeddingTest : public OpTest {
 protected:
  static Ints tokens(int64_t count, int vocab_size) {
    Ints result({count});
    std::mt19937 generator(7);
    for (int32_t& token : result.values) token = static_cast<int32_t>(generator() % static_cast<uint32_t>(vocab_size));
    return result;
  }
};

TEST_F(EmbeddingTest, ForwardCopiesRows) {
  const Floats weight = random_floats({11, 37}, 1);
  const Ints ids = tokens(50, 11);
  Floats out({50, 37});
  backend_->embedding_forward(stream_, out, weight, ids);
  for (int64_t t = 0; t < 50; ++t) {
    for (int64_t c = 0; c < 37; ++c) ASSERT_EQ(out[t * 37 + c], weight[ids[t] * 37 + c]);
  }
}

TEST_F(EmbeddingTest, BackwardAddsRowsToTheirTokens) {
  const Floats dout = random_floats({50, 37}, 2);
  const Ints ids = tokens(50, 11);
  Floats dweight = random_floats({11, 37}, 3);
  std::vector<double> expected = values_of(dweight);
  for (int64_t t = 0; t < 50; ++t) {
    for (int64_t c = 0; c < 37; ++c) expected[static_cast<size_t>(ids[t] * 37 + c)] += dout[t * 37 + c];
  }
  backend_->embedding_backward(stream_, dweight, Tensor(), dout, ids);
  EXPECT_TRUE(close(dweight, expected, 1e-5));
}

TEST_F(EmbeddingTest, RefusesTokensOutsideTheVocabulary) {
  const Floats weight = random_floats({11, 8}, 1);
  Floats out({3, 8});
  Ints ids({3});
  ids.values = {0, 11, 2};
  ids.tensor = Tensor(ids.values.data(), {3}, DType::kInt32);
  EXPECT_THROW(backend_->embedding_forward(stream_, out, weight, ids), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
