#include "lighthouse/model/cost.h"

#include "lighthouse/ops/cost.h"

namespace lighthouse {

int64_t matrix_parameter_count(const ModelConfig& config) {
  const int64_t c = config.hidden_size;
  const int64_t attention = config.qkv_size() * c + c * config.num_attention_heads * config.head_dim();
  const int64_t mlp = 3 * c * config.intermediate_size;
  return config.num_hidden_layers * (attention + mlp) + config.vocab_size * c;
}

double training_flops_per_token(const ModelConfig& config, const AttentionSettings& attention, AttentionKind step,
                                int64_t sequence_length) {
  const auto n = static_cast<double>(sequence_length);
  const auto c = static_cast<double>(config.num_attention_heads * config.head_dim());
  double flops = 6 * static_cast<double>(matrix_parameter_count(config));
  for (const LayerAttention& layer : attention_of_layers(step, attention, config)) {
    if (layer.kind == AttentionKind::kDense) flops += 6 * n * c;
    if (layer.window > 0) flops += 3 * causal_attention_flops({1, sequence_length, 1, 1}, layer.window) / n * c;
    if (layer.kind == AttentionKind::kLighthouse) {
      const auto s = static_cast<double>(attention.lighthouse.shape(sequence_length).gathered());
      flops += 6 * s * s / n * c;
    }
  }
  return flops;
}

}  // namespace lighthouse
