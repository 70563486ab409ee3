#include "rates.h"

#include "attention_timing.h"
#include "lighthouse/core/arena.h"
#include "timing.h"

namespace lighthouse {

double copy_rate(Backend& backend) {
  const bool gpu = backend.device().kind == DeviceKind::kCuda;
  const int64_t bytes = int64_t{1} << (gpu ? 31 : 28);
  Arena arena(backend.allocate(2 * bytes));
  const Tensor to = arena.allocate(MemoryUse::kScratch, {bytes}, DType::kUInt8);
  const Tensor from = arena.allocate(MemoryUse::kScratch, {bytes}, DType::kUInt8);
  backend.fill(backend.compute_stream(), from, 3);
  return 2.0 * static_cast<double>(bytes) / best_seconds(5, [&] {
           backend.copy(backend.compute_stream(), to, from);
           backend.wait(backend.compute_stream());
         });
}

Rates measured_rates(Backend& backend, const ModelConfig& model, int64_t batch, int64_t sequence_length) {
  const bool gpu = backend.device().kind == DeviceKind::kCuda;
  Rates rates;
  rates.product_flops = product_flops(backend, gpu ? 8192 : 2048);
  rates.bytes_per_second = copy_rate(backend);
  const AttentionShape shape{batch, sequence_length, model.num_attention_heads, model.num_key_value_heads,
                             model.head_dim()};
  const AttentionSeconds attention = time_attention(backend, shape, 3);
  const double flops = causal_attention_flops({shape.batch, shape.sequence_length, shape.heads, shape.head_dim});
  rates.attention_forward_flops = flops / attention.forward;
  rates.attention_backward_flops = 2.5 * flops / attention.backward();
  return rates;
}

Rates host_rates(Backend& cpu) {
  const double product = product_flops(cpu, 2048);
  return {product, 0.67 * product, 0.67 * product, copy_rate(cpu)};
}

Rates planned_rates(const Hardware& hardware) {
  return {0.7 * hardware.flops, 0.55 * hardware.flops, 0.48 * hardware.flops, 0.75 * hardware.bytes_per_second};
}

}  // namespace lighthouse
