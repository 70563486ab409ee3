// A view of an n-dimensional array: address, shape, strides, dtype, device. A Tensor owns no memory; an Arena does.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "lighthouse/core/device.h"
#include "lighthouse/core/dtype.h"

namespace lighthouse {

/// Up to five extents, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents);

  int rank() const { return rank_; }
  int64_t operator[](int dim) const { return extents_[dim]; }
  int64_t& operator[](int dim) { return extents_[dim]; }
  int64_t numel() const;
  void append(int64_t extent);

  friend bool operator==(const Shape& a, const Shape& b);

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// "[2, 128, 64]"
std::string to_string(const Shape& shape);

/// Strides are 64-bit and count elements. Copying a Tensor copies the view, never the data. A `const Tensor&` parameter
/// may be written through: operations take their outputs first.
class Tensor {
 public:
  Tensor() = default;
  /// A contiguous, row-major view of `shape` at `data`.
  Tensor(void* data, const Shape& shape, DType dtype, Device device = {});

  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t size(int dim) const { return shape_[dim]; }
  int64_t stride(int dim) const { return strides_[dim]; }
  int64_t numel() const { return shape_.numel(); }
  int64_t bytes() const { return numel() * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  bool defined() const { return data_ != nullptr; }
  bool is_contiguous() const;

  /// The address of the first element. Throws std::logic_error if T is not the tensor's dtype.
  template <typename T>
  T* data() const {
    check_dtype(kDTypeOf<T>);
    return static_cast<T*>(data_);
  }
  void* raw() const { return data_; }

  /// Elements [begin, end) of dimension `dim`.
  Tensor slice(int dim, int64_t begin, int64_t end) const;
  /// Element `index` of dimension `dim`; the result has one dimension less.
  Tensor select(int dim, int64_t index) const;
  /// The same elements in another shape. The view must be contiguous.
  Tensor view(const Shape& shape) const;
  /// Splits dimension `dim` into [outer, inner]; outer * inner must be its size. The view may be strided.
  Tensor split(int dim, int64_t outer, int64_t inner) const;
  /// The view with dimensions `a` and `b` swapped.
  Tensor transpose(int a, int b) const;
  /// Every `step`-th element of dimension `dim`, beginning with element `first`.
  Tensor every(int dim, int64_t first, int64_t step) const;

 private:
  void check_dtype(DType wanted) const;
  Tensor offset_by(int64_t elements) const;

  void* data_ = nullptr;
  Shape shape_;
  std::array<int64_t, Shape::kMaxRank> strides_{};
  DType dtype_ = DType::kFloat32;
  Device device_;
};

}  // namespace lighthouse
