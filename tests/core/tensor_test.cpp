#include "lighthouse/core/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace lighthouse {
namespace {

class TensorTest : public testing::Test {
 protected:
  TensorTest() : values_(24) { std::iota(values_.begin(), values_.end(), 0); }

  /// [2, 3, 4], element (i, j, k) is 12 i + 4 j + k.
  Tensor tensor() { return {values_.data(), {2, 3, 4}, DType::kInt32}; }

  static int32_t first(const Tensor& tensor) { return *tensor.data<int32_t>(); }

 private:
  std::vector<int32_t> values_;
};

TEST_F(TensorTest, IsRowMajor) {
  const Tensor t = tensor();
  EXPECT_EQ(t.stride(0), 12);
  EXPECT_EQ(t.stride(1), 4);
  EXPECT_EQ(t.stride(2), 1);
  EXPECT_EQ(t.numel(), 24);
  EXPECT_EQ(t.bytes(), 96);
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_EQ(to_string(t.shape()), "[2, 3, 4]");
}

TEST_F(TensorTest, SliceKeepsStrides) {
  const Tensor s = tensor().slice(1, 1, 3);
  EXPECT_EQ(s.shape(), (Shape{2, 2, 4}));
  EXPECT_EQ(first(s), 4);
  EXPECT_FALSE(s.is_contiguous());
  EXPECT_TRUE(tensor().slice(0, 1, 2).is_contiguous());
  EXPECT_EQ(tensor().slice(1, 2, 2).numel(), 0);
  EXPECT_THROW(tensor().slice(1, 2, 4), std::logic_error);
  EXPECT_THROW(tensor().slice(1, -1, 2), std::logic_error);
}

TEST_F(TensorTest, SelectRemovesADimension) {
  const Tensor s = tensor().select(1, 2);
  EXPECT_EQ(s.shape(), (Shape{2, 4}));
  EXPECT_EQ(s.stride(0), 12);
  EXPECT_EQ(first(s), 8);
  EXPECT_THROW(tensor().select(0, 2), std::logic_error);
}

TEST_F(TensorTest, ViewNeedsTheSameSizeAndContiguity) {
  EXPECT_EQ(tensor().view({6, 4}).stride(0), 4);
  EXPECT_THROW(tensor().view({5, 4}), std::logic_error);
  EXPECT_THROW(tensor().slice(1, 0, 2).view({16}), std::logic_error);
}

TEST_F(TensorTest, SplitWorksOnStridedViews) {
  const Tensor s = tensor().slice(2, 0, 2).split(1, 3, 1).split(3, 1, 2);
  EXPECT_EQ(s.shape(), (Shape{2, 3, 1, 1, 2}));
  EXPECT_EQ(s.stride(1), 4);
  EXPECT_EQ(s.stride(4), 1);
  EXPECT_THROW(tensor().split(2, 3, 2), std::logic_error);
}

TEST_F(TensorTest, TransposeExchangesDimensions) {
  const Tensor t = tensor().transpose(0, 2);
  EXPECT_EQ(t.shape(), (Shape{4, 3, 2}));
  EXPECT_EQ(first(t.select(0, 3).select(1, 1)), 15);
  EXPECT_FALSE(t.is_contiguous());
}

TEST_F(TensorTest, EveryTakesEachStep) {
  const Tensor e = tensor().every(2, 1, 2);
  EXPECT_EQ(e.shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(first(e), 1);
  EXPECT_EQ(first(e.select(2, 1)), 3);
  EXPECT_EQ(tensor().every(2, 1, 3).size(2), 1);
  EXPECT_EQ(tensor().every(2, 4, 3).size(2), 0);
  EXPECT_THROW(tensor().every(2, 5, 1), std::logic_error);
  EXPECT_THROW(tensor().every(2, 0, 0), std::logic_error);
}

TEST_F(TensorTest, ExtentsOfOneDoNotBreakContiguity) {
  const Tensor rows = tensor().view({6, 4});
  EXPECT_TRUE(rows.slice(0, 2, 3).slice(1, 1, 3).is_contiguous());  // [1, 2]: part of one row
  EXPECT_FALSE(rows.slice(1, 2, 3).is_contiguous());                // [6, 1]: a column
  EXPECT_TRUE(tensor().view({6, 1, 4}).transpose(0, 1).is_contiguous());
}

TEST_F(TensorTest, ViewsOfViewsShowTheRightElements) {
  // The keys of fused rows of queries and keys, by head: [2, 12] -> [2, 2, 4], every other row.
  const Tensor keys = tensor().view({2, 12}).slice(1, 4, 12).split(1, 2, 4);
  EXPECT_EQ(first(keys.select(0, 1).select(0, 1).select(0, 3)), 23);
  EXPECT_EQ(first(keys.transpose(0, 1).select(0, 1).select(0, 0).every(0, 1, 2)), 9);
}

TEST_F(TensorTest, RefusesDimensionsItDoesNotHave) {
  for (int dim : {-1, 3}) {
    EXPECT_THROW(tensor().slice(dim, 0, 1), std::logic_error);
    EXPECT_THROW(tensor().select(dim, 0), std::logic_error);
    EXPECT_THROW(tensor().split(dim, 1, 1), std::logic_error);
    EXPECT_THROW(tensor().every(dim, 0, 1), std::logic_error);
    EXPECT_THROW(tensor().transpose(dim, 0), std::logic_error);
    EXPECT_THROW(tensor().transpose(0, dim), std::logic_error);
  }
  EXPECT_THROW(tensor().view({1, 1, 2, 3, 4}).split(4, 2, 2), std::logic_error);  // six dimensions
  EXPECT_THROW(tensor().split(2, -2, -2), std::logic_error);
}

TEST_F(TensorTest, RefusesAnotherType) {
  EXPECT_THROW(tensor().data<float>(), std::logic_error);
  EXPECT_NO_THROW(tensor().data<int32_t>());
}

TEST(ShapeTest, RefusesInvalidShapes) {
  EXPECT_THROW((Shape{1, 2, 3, 4, 5, 6}), std::logic_error);
  EXPECT_THROW((Shape{-1}), std::logic_error);
  EXPECT_THROW((void)(Shape{int64_t{1} << 40, int64_t{1} << 40}.numel()), std::logic_error);
  EXPECT_EQ(Shape{}.numel(), 1);
}

TEST(ShapeTest, CountsMoreThan32Bits) {
  const Tensor large(nullptr, {1'000'000, 3072}, DType::kBFloat16);
  EXPECT_EQ(large.numel(), 3'072'000'000);
  EXPECT_FALSE(large.defined());
  EXPECT_FALSE(large.slice(0, 500'000, 600'000).defined());
}

}  // namespace
}  // namespace lighthouse
