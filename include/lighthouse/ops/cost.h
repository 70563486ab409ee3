// What operations cost: their arithmetic, their traffic, and the time that neither lets them fall below.
#pragma once

#include <cstdint>
#include <string>

#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// What an operation's arithmetic is, hence the rate it can run at.
enum class Work : uint8_t { kTraffic, kProduct, kAttentionForward, kAttentionBackward };

/// What a device reaches at best, per second. 0: not known, and not a limit.
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
  double bytes = 0;  // that must move through device memory: inputs read once, outputs written once
  int64_t calls = 1;
  double roofline_seconds = 0;  // the sum of each call's roofline
  double seconds = 0;           // measured
};

/// Seconds that one call cannot be faster than: the larger of flops / rate and bytes / bandwidth. To be summed over
/// calls: the roofline of a sum would let one call's arithmetic hide another's traffic.
double roofline_seconds(const OperationCost& call, const Rates& rates);

/// Floating-point operations of causal attention over q [B, N, H, D]: half of those of the two full products, or with a
/// window below N those of the keys that queries see. Backward makes five products where forward makes two (the scores
/// are computed again), so it has 2.5 times as many.
double causal_attention_flops(const Shape& q, int64_t window = 0);

}  // namespace lighthouse
