#include "lighthouse/core/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>

namespace lighthouse {
namespace {

bool has_dim(const Tensor& tensor, int dim) {
  return 0 <= dim && dim < tensor.rank();
}

void require(bool condition, const char* what, const Tensor& tensor) {
  if (!condition) throw std::logic_error(fmt::format("{} on a tensor of shape {}", what, to_string(tensor.shape())));
}

}  // namespace

Shape::Shape(std::initializer_list<int64_t> extents) {
  for (int64_t extent : extents) append(extent);
}

void Shape::append(int64_t extent) {
  if (rank_ == kMaxRank) throw std::logic_error("a tensor has at most five dimensions");
  if (extent < 0) throw std::logic_error("a tensor's extent is negative");
  extents_[rank_++] = extent;
}

int64_t Shape::numel() const {
  int64_t product = 1;
  for (int dim = 0; dim < rank_; ++dim) {
    if (__builtin_mul_overflow(product, extents_[dim], &product)) {
      throw std::logic_error("a tensor's size overflows 64 bits");
    }
  }
  return product;
}

bool operator==(const Shape& a, const Shape& b) {
  return a.rank_ == b.rank_ && std::equal(a.extents_.begin(), a.extents_.begin() + a.rank_, b.extents_.begin());
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int dim = 0; dim < shape.rank(); ++dim) text += fmt::format("{}{}", dim ? ", " : "", shape[dim]);
  return text + "]";
}

Tensor::Tensor(void* data, const Shape& shape, DType dtype, Device device)
    : data_(data), shape_(shape), dtype_(dtype), device_(device) {
  int64_t stride = 1;
  for (int dim = shape.rank() - 1; dim >= 0; --dim) {
    strides_[dim] = stride;
    stride *= shape[dim];
  }
}

bool Tensor::is_contiguous() const {
  int64_t expected = 1;
  for (int dim = rank() - 1; dim >= 0; --dim) {
    if (size(dim) != 1 && strides_[dim] != expected) return false;
    expected *= size(dim);
  }
  return true;
}

Tensor Tensor::offset_by(int64_t elements) const {
  Tensor result = *this;
  if (data_ != nullptr) result.data_ = static_cast<std::byte*>(data_) + elements * size_of(dtype_);
  return result;
}

Tensor Tensor::slice(int dim, int64_t begin, int64_t end) const {
  require(has_dim(*this, dim) && 0 <= begin && begin <= end && end <= size(dim), "slice out of range", *this);
  Tensor result = offset_by(begin * strides_[dim]);
  result.shape_[dim] = end - begin;
  return result;
}

Tensor Tensor::select(int dim, int64_t index) const {
  const Tensor one = slice(dim, index, index + 1);
  Tensor result = one;
  result.shape_ = {};
  for (int from = 0, to = 0; from < rank(); ++from) {
    if (from == dim) continue;
    result.shape_.append(one.size(from));
    result.strides_[to++] = strides_[from];
  }
  return result;
}

Tensor Tensor::view(const Shape& shape) const {
  require(is_contiguous() && shape.numel() == numel(), "view with another size, or of a strided tensor,", *this);
  return {data_, shape, dtype_, device_};
}

Tensor Tensor::split(int dim, int64_t outer, int64_t inner) const {
  require(has_dim(*this, dim) && outer * inner == size(dim), "split with other sizes", *this);
  Tensor result = *this;
  result.shape_ = {};
  for (int from = 0, to = 0; from < rank(); ++from) {
    if (from == dim) {
      result.shape_.append(outer);
      result.strides_[to++] = strides_[from] * inner;
    }
    result.shape_.append(from == dim ? inner : size(from));
    result.strides_[to++] = strides_[from];
  }
  return result;
}

Tensor Tensor::transpose(int a, int b) const {
  require(has_dim(*this, a) && has_dim(*this, b), "transpose of dimensions", *this);
  Tensor result = *this;
  std::swap(result.shape_[a], result.shape_[b]);
  std::swap(result.strides_[a], result.strides_[b]);
  return result;
}

Tensor Tensor::every(int dim, int64_t first, int64_t step) const {
  require(has_dim(*this, dim) && step > 0 && 0 <= first && first <= size(dim), "every", *this);
  Tensor result = offset_by(first * strides_[dim]);
  result.shape_[dim] = (size(dim) - first + step - 1) / step;
  result.strides_[dim] *= step;
  return result;
}

void Tensor::check_dtype(DType wanted) const {
  if (wanted == dtype_) return;
  throw std::logic_error(fmt::format("a tensor of {} was used as {}", name_of(dtype_), name_of(wanted)));
}

}  // namespace lighthouse
