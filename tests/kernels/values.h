// The numbers of the kernel tests: doubles on the host, which hold every element type exactly; how near two of them
// are.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "lighthouse/core/bfloat16.h"
#include "lighthouse/core/dtype.h"

namespace lighthouse {

using Values = std::vector<double>;
using Bytes = std::vector<std::byte>;

/// Initial value of outputs and scratch, and of the memory around every tensor: NaN in floating point, -1 in int32.
inline constexpr std::byte kPoison{0xff};

/// Calls function(T{}) with the C++ type of the elements.
template <typename Function>
void with_element_type(DType type, const Function& function) {
  switch (type) {
    case DType::kFloat32:
      return function(float{});
    case DType::kFloat64:
      return function(double{});
    case DType::kBFloat16:
      return function(BFloat16{});
    case DType::kInt32:
      return function(int32_t{});
    case DType::kInt64:
      return function(int64_t{});
    case DType::kUInt8:
      return function(uint8_t{});
    case DType::kFloat16:
      throw std::logic_error("nothing is computed in float16");
  }
}

/// The elements of a tensor of `type`, each the nearest to its value.
inline Bytes encode(const Values& values, DType type) {
  Bytes bytes(values.size() * static_cast<size_t>(size_of(type)));
  with_element_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (size_t i = 0; i < values.size(); ++i) {
      T element;
      if constexpr (std::is_same_v<T, BFloat16>) {
        element = to_bfloat16(static_cast<float>(values[i]));
      } else {
        element = static_cast<T>(values[i]);
      }
      std::memcpy(&bytes[i * sizeof(T)], &element, sizeof(T));
    }
  });
  return bytes;
}

inline Values decode(const Bytes& bytes, DType type) {
  Values values(bytes.size() / static_cast<size_t>(size_of(type)));
  with_element_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (size_t i = 0; i < values.size(); ++i) {
      T element;
      std::memcpy(&element, &bytes[i * sizeof(T)], sizeof(T));
      if constexpr (std::is_same_v<T, BFloat16>) {
        values[i] = static_cast<float>(element);
      } else {
        values[i] = static_cast<double>(element);
      }
    }
  });
  return values;
}

inline Values rounded(const Values& values, DType type) {
  return decode(encode(values, type), type);
}

inline Values random_values(int64_t count, uint32_t seed, float scale = 1.0f) {
  Values values(static_cast<size_t>(count));
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  for (double& value : values) value = normal(generator);
  return values;
}

/// Away from zero, for what is a square or a reciprocal.
inline Values random_positive_values(int64_t count, uint32_t seed) {
  Values values = random_values(count, seed);
  for (double& value : values) value = std::abs(value) + 0.1;
  return values;
}

/// Bounds on ||actual - expected|| / ||expected||: of all elements, and of each row, by the larger of its own and the
/// mean row's norm.
struct Tolerance {
  double whole, row;
};

/// float32's would fail if products were taken in TF32.
inline Tolerance tolerance_of(DType type) {
  if (type == DType::kBFloat16) return {5e-3, 3e-2};
  if (type == DType::kFloat32) return {1e-5, 1e-4};
  if (type == DType::kFloat64) return {1e-12, 1e-12};
  return {0, 0};
}

/// Rows have `columns` elements. NaN is near nothing.
inline testing::AssertionResult close(const Values& actual, const Values& expected, int64_t columns,
                                      const Tolerance& tolerance) {
  if (actual.size() != expected.size()) return testing::AssertionFailure() << "sizes differ";
  const size_t width = static_cast<size_t>(columns), rows = expected.size() / width;
  Values errors(rows), norms(rows);
  double error_squared = 0, norm_squared = 0, mean_norm = 0;
  for (size_t row = 0; row < rows; ++row) {
    double error = 0, norm = 0;
    for (size_t i = row * width; i < (row + 1) * width; ++i) {
      error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    errors[row] = std::sqrt(error);
    norms[row] = std::sqrt(norm);
    error_squared += error;
    norm_squared += norm;
    mean_norm += norms[row] / static_cast<double>(rows);
  }
  for (size_t row = 0; row < rows; ++row) {
    const double norm = std::max(norms[row], mean_norm);
    if (!(errors[row] <= tolerance.row * norm)) {
      return testing::AssertionFailure() << "row " << row << " is off by " << errors[row] << ", its norm is " << norm;
    }
  }
  if (!(std::sqrt(error_squared) <= tolerance.whole * std::sqrt(norm_squared))) {
    return testing::AssertionFailure() << "off by " << std::sqrt(error_squared / norm_squared) << " of its norm";
  }
  return testing::AssertionSuccess();
}

}  // namespace lighthouse
