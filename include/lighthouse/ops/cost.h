// The cost of operations: arithmetic, memory traffic, and the roofline time that follows from both.
#pragma once

#include <cstdint>
#include <string>

#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// The kind of an operation's arithmetic, which decides the rate that it can reach.
enum class Work : uint8_t { kTraffic, kProduct, kAttentionForward, kAttentionBackward };

/// The highest rates of a device, per second. 0: unknown, which does not limit.
struct Rates {
  double product_flops = 0;
  double attention_forward_flops = 0;
  double attention_backward_flops = 0;
  double bytes_per_second = 0;  // of device memory
};

/// One call of an operation, or the sum of all calls of one kind.
struct OperationCost {
  std::string kind;  // "attention forward": a row of a breakdown
  Work work = Work::kTraffic;
  double flops = 0;  // floating-point operations of products and attention; 0 for kTraffic
  double bytes = 0;  // least traffic of device memory: inputs are read once, outputs written once
  int64_t calls = 1;
  double roofline_seconds = 0;  // the sum of the calls' rooflines
  double seconds = 0;           // measured
};

/// The lower bound of one call's seconds: the larger of flops / rate and bytes / bandwidth. Rooflines are summed over
/// calls; the roofline of a sum would let one call's arithmetic hide another call's traffic.
double roofline_seconds(const OperationCost& call, const Rates& rates);

/// Floating-point operations of causal attention over q [B, N, H, D]: half of the two full products, or with a window
/// below N two products over the keys that queries see. The backward pass has 2.5 times as many: five products instead
/// of two, because it recomputes the scores.
double causal_attention_flops(const Shape& q, int64_t window = 0);

}  // namespace lighthouse
