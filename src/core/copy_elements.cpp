#include "lighthouse/core/copy_elements.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "lighthouse/core/bfloat16.h"
#include "lighthouse/core/float16.h"

namespace lighthouse {
namespace {

template <typename From>
void convert(const Tensor& to, const Tensor& from) {
  const From* in = from.data<From>();
  const From* end = in + from.numel();
  if (to.dtype() == DType::kFloat32) {
    std::transform(in, end, to.data<float>(), [](From x) { return static_cast<float>(x); });
  } else {
    std::transform(in, end, to.data<BFloat16>(), [](From x) { return to_bfloat16(static_cast<float>(x)); });
  }
}

}  // namespace

void copy_elements(const Tensor& to, const Tensor& from) {
  if (to.dtype() == from.dtype()) {
    std::memcpy(to.raw(), from.raw(), static_cast<size_t>(from.bytes()));
  } else if (from.dtype() == DType::kFloat32) {
    convert<float>(to, from);
  } else if (from.dtype() == DType::kBFloat16) {
    convert<BFloat16>(to, from);
  } else if (from.dtype() == DType::kFloat16) {
    convert<Float16>(to, from);
  } else {
    throw std::logic_error("copy_elements: the source's dtype is not a weight type");
  }
}

}  // namespace lighthouse
