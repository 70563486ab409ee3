// Element types that operations refuse. A meter counts the operations, so no memory is needed.
#include <gtest/gtest.h>

#include <stdexcept>

#include "lighthouse/ops/cost_meter.h"
#include "op_test.h"

namespace lighthouse {
namespace {

constexpr DType kFloat = DType::kFloat32, kBrain = DType::kBFloat16;

Tensor of(const Shape& shape, DType dtype) {
  return {nullptr, shape, dtype};
}

class ArgumentTypes : public OpTest {
 protected:
  CostMeter meter_{*backend_, CostMeter::Mode::kCount};
  Tensor scratch_ = of({1 << 20}, DType::kUInt8);
};

TEST_F(ArgumentTypes, LinearIsOfOneType) {
  const auto check = [&](DType out, DType x, DType weight) {
    backend_->linear_forward(stream_, of({3, 4}, out), {}, of({3, 5}, x), of({4, 5}, weight));
  };
  check(kFloat, kFloat, kFloat);
  check(kBrain, kBrain, kBrain);
  EXPECT_THROW(check(kFloat, kFloat, kBrain), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kFloat), std::logic_error);
  EXPECT_THROW(check(kFloat, kBrain, kBrain), std::logic_error);
  for (const DType other : {DType::kFloat64, DType::kFloat16, DType::kInt32, DType::kInt64, DType::kUInt8}) {
    EXPECT_THROW(check(other, other, other), std::logic_error) << name_of(other);
  }
}

TEST_F(ArgumentTypes, ALinearWeightsGradientIsFloat32) {
  const auto check = [&](DType dout, DType x, DType dweight) {
    backend_->linear_backward_weight(stream_, of({4, 5}, dweight), {}, of({3, 4}, dout), of({3, 5}, x));
  };
  check(kFloat, kFloat, kFloat);
  check(kBrain, kBrain, kFloat);
  EXPECT_THROW(check(kBrain, kBrain, kBrain), std::logic_error);
  EXPECT_THROW(check(kBrain, kFloat, kFloat), std::logic_error);
  EXPECT_THROW(check(DType::kFloat16, DType::kFloat16, kFloat), std::logic_error);
}

TEST_F(ArgumentTypes, AttentionIsOfOneTypeWithAFloat32Lse) {
  const auto check = [&](DType q, DType k, DType v, DType out, DType lse) {
    const Shape heads{1, 8, 2, 16};
    backend_->attention_forward(stream_, of(heads, out), of({1, 2, 8}, lse), {}, of(heads, q), of(heads, k),
                                of(heads, v));
  };
  check(kFloat, kFloat, kFloat, kFloat, kFloat);
  check(kBrain, kBrain, kBrain, kBrain, kFloat);
  EXPECT_THROW(check(kBrain, kFloat, kBrain, kBrain, kFloat), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kFloat, kBrain, kFloat), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kBrain, kFloat, kFloat), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kBrain, kBrain, kBrain), std::logic_error);
  const DType half = DType::kFloat16;
  EXPECT_THROW(check(half, half, half, half, kFloat), std::logic_error);
}

TEST_F(ArgumentTypes, ADecodedTokenIsOfTheCachesType) {
  const auto check = [&](DType out, DType cache, DType qkv, DType angles, DType position) {
    backend_->attention_decode(stream_, of({2, 16}, out), of({8, 1, 16}, cache), of({8, 1, 16}, cache), scratch_,
                               of({4, 16}, qkv), of({8, 8}, angles), of({8, 8}, angles), of({1}, position));
  };
  check(kBrain, kBrain, kBrain, kFloat, DType::kInt32);
  EXPECT_THROW(check(kBrain, kFloat, kBrain, kFloat, DType::kInt32), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kFloat, kFloat, DType::kInt32), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kBrain, kBrain, DType::kInt32), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kBrain, kFloat, DType::kInt64), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
