// Element types that operations refuse. No memory is needed: the arguments are checked first.
#include <gtest/gtest.h>

#include <stdexcept>

#include "lighthouse/ops/attention_types.h"
#include "lighthouse/ops/decode_shapes.h"
#include "lighthouse/ops/linear_shapes.h"

namespace lighthouse {
namespace {

constexpr DType kFloat = DType::kFloat32, kBrain = DType::kBFloat16;

Tensor of(const Shape& shape, DType dtype) {
  return {nullptr, shape, dtype};
}

TEST(ArgumentTypes, LinearIsOfOneType) {
  const auto check = [](DType out, DType x, DType weight) {
    require_linear("linear", of({3, 4}, out), of({3, 5}, x), of({4, 5}, weight));
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

TEST(ArgumentTypes, ALinearWeightsGradientIsFloat32) {
  const auto check = [](DType dout, DType x, DType dweight) {
    require_linear_weight_gradient("linear", of({3, 4}, dout), of({3, 5}, x), of({4, 5}, dweight));
  };
  check(kFloat, kFloat, kFloat);
  check(kBrain, kBrain, kFloat);
  EXPECT_THROW(check(kBrain, kBrain, kBrain), std::logic_error);
  EXPECT_THROW(check(kBrain, kFloat, kFloat), std::logic_error);
  EXPECT_THROW(check(DType::kFloat16, DType::kFloat16, kFloat), std::logic_error);
}

TEST(ArgumentTypes, AttentionIsOfOneTypeWithAFloat32Lse) {
  const auto check = [](DType q, DType k, DType v, DType out, DType lse) {
    const Shape heads{1, 8, 2, 16};
    require_attention_types("attention", of(heads, q), of(heads, k), of(heads, v), of(heads, out), of({1, 2, 8}, lse));
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

TEST(ArgumentTypes, ADecodedTokenIsOfTheCachesType) {
  const auto check = [](DType out, DType cache, DType qkv, DType angles, DType position) {
    require_decode(of({2, 16}, out), of({8, 1, 16}, cache), of({8, 1, 16}, cache), of({4, 16}, qkv), of({8, 8}, angles),
                   of({8, 8}, angles), of({1}, position));
  };
  check(kBrain, kBrain, kBrain, kFloat, DType::kInt32);
  EXPECT_THROW(check(kBrain, kFloat, kBrain, kFloat, DType::kInt32), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kFloat, kFloat, DType::kInt32), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kBrain, kBrain, DType::kInt32), std::logic_error);
  EXPECT_THROW(check(kBrain, kBrain, kBrain, kFloat, DType::kInt64), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
