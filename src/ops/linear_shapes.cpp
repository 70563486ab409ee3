#include "lighthouse/ops/linear_shapes.h"

namespace lighthouse {
namespace {

bool is_product(const Tensor& out, const Tensor& x, const Tensor& weight) {
  return out.rank() == 2 && x.rank() == 2 && weight.rank() == 2 && out.size(0) == x.size(0) &&
         out.size(1) == weight.size(0) && x.size(1) == weight.size(1) && contiguous(out, x, weight) &&
         is_activation_type(x.dtype()) && have_dtype(x.dtype(), out);
}

}  // namespace

void require_linear(const char* operation, const Tensor& out, const Tensor& x, const Tensor& weight) {
  require(is_product(out, x, weight) && have_dtype(x.dtype(), weight), operation, {&out, &x, &weight});
}

void require_linear_weight_gradient(const char* operation, const Tensor& dout, const Tensor& x, const Tensor& dweight) {
  require(is_product(dout, x, dweight) && have_dtype(DType::kFloat32, dweight), operation, {&dout, &x, &dweight});
}

}  // namespace lighthouse
