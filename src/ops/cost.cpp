#include "lighthouse/ops/cost.h"

#include <algorithm>

namespace lighthouse {
namespace {

double flops_per_second(Work work, const Rates& rates) {
  switch (work) {
    case Work::kTraffic:
      return 0;
    case Work::kProduct:
      return rates.product_flops;
    case Work::kAttentionForward:
      return rates.attention_forward_flops;
    case Work::kAttentionBackward:
      return rates.attention_backward_flops;
  }
  return 0;
}

double at(double amount, double rate) {
  return rate > 0 ? amount / rate : 0;
}

}  // namespace

double roofline_seconds(const OperationCost& call, const Rates& rates) {
  return std::max(at(call.flops, flops_per_second(call.work, rates)), at(call.bytes, rates.bytes_per_second));
}

double causal_attention_flops(const Shape& q, int64_t window) {
  const auto n = static_cast<double>(q[1]), w = static_cast<double>(window);
  const double pairs = window > 0 && window < q[1] ? n * w - w * (w - 1) / 2 : n * n / 2;
  return 4 * static_cast<double>(q[0] * q[2] * q[3]) * pairs;
}

}  // namespace lighthouse
