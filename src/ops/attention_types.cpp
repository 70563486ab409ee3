#include "lighthouse/ops/attention_types.h"

namespace lighthouse {

void require_attention_types(const char* operation, const Tensor& q, const Tensor& k, const Tensor& v,
                             const Tensor& out, const Tensor& lse) {
  require(is_activation_type(q.dtype()) && have_dtype(q.dtype(), k, v, out) && have_dtype(DType::kFloat32, lse),
          operation, {&q, &k, &v, &out, &lse});
}

}  // namespace lighthouse
