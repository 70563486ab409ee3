// Shared by the tests of operations: arrays, random numbers, comparisons, numerical gradients.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// A tensor with its own memory. Initially poisoned with NaN or an invalid index, which reveals an output that an
/// operation does not write.
template <typename T>
struct Array {
  explicit Array(const Shape& shape) : values(static_cast<size_t>(shape.numel()), poison()) {
    tensor = Tensor(values.data(), shape, kDTypeOf<T>);
  }
  Array(Array&&) noexcept = default;
  Array(const Array&) = delete;

  static T poison() {
    if constexpr (std::is_floating_point_v<T>) {
      return std::numeric_limits<T>::quiet_NaN();
    } else if constexpr (std::is_integral_v<T>) {
      return static_cast<T>(-123456789);
    } else {
      return T{0xffff};  // a NaN of bfloat16
    }
  }
  operator const Tensor&() const { return tensor; }  // NOLINT(google-explicit-constructor)
  T& operator[](int64_t i) { return values[static_cast<size_t>(i)]; }
  const T& operator[](int64_t i) const { return values[static_cast<size_t>(i)]; }

  std::vector<T> values;
  Tensor tensor;
};

using Floats = Array<float>;
using Ints = Array<int32_t>;

inline Array<uint8_t> scratch_of(int64_t bytes) {
  return Array<uint8_t>({bytes});
}

inline Floats random_floats(const Shape& shape, uint32_t seed, float scale = 1.0f) {
  Floats result(shape);
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  for (float& value : result.values) value = normal(generator);
  return result;
}

inline Floats constant_floats(const Shape& shape, float value) {
  Floats result(shape);
  std::fill(result.values.begin(), result.values.end(), value);
  return result;
}

/// The elements in the order of the shape, whatever the strides.
inline std::vector<double> values_of(const Tensor& x) {
  std::vector<double> result;
  std::function<void(const Tensor&)> walk = [&](const Tensor& part) {
    if (part.rank() == 0) {
      result.push_back(*part.data<float>());
    } else {
      for (int64_t i = 0; i < part.size(0); ++i) walk(part.select(0, i));
    }
  };
  walk(x);
  return result;
}

/// Every element within `tolerance` of what is expected, relative to its size or to 1, whichever is larger.
inline testing::AssertionResult close(const std::vector<double>& actual, const std::vector<double>& expected,
                                      double tolerance) {
  if (actual.size() != expected.size()) return testing::AssertionFailure() << "sizes differ";
  for (size_t i = 0; i < actual.size(); ++i) {
    if (!(std::abs(actual[i] - expected[i]) <= tolerance * std::max(1.0, std::abs(expected[i])))) {
      return testing::AssertionFailure() << "element " << i << " is " << actual[i] << ", expected " << expected[i];
    }
  }
  return testing::AssertionSuccess();
}
inline testing::AssertionResult close(const Tensor& actual, const std::vector<double>& expected, double tolerance) {
  return close(values_of(actual), expected, tolerance);
}

/// The gradient of `loss` at `x` by central differences.
inline std::vector<double> numerical_gradient(const std::function<double(const std::vector<double>&)>& loss,
                                              std::vector<double> x) {
  constexpr double kStep = 1e-5;
  std::vector<double> gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double middle = x[i];
    x[i] = middle + kStep;
    const double above = loss(x);
    x[i] = middle - kStep;
    gradient[i] = (above - loss(x)) / (2 * kStep);
    x[i] = middle;
  }
  return gradient;
}

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

inline std::vector<double> plus(std::vector<double> a, double constant) {
  for (double& value : a) value += constant;
  return a;
}

class OpTest : public testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_cpu_backend();
  Stream stream_;
};

}  // namespace lighthouse
