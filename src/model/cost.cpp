#include "lighthouse/model/cost.h"

#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/cost.h"

namespace lighthouse {

int64_t matrix_parameter_count(const ModelConfig& config) {
  int64_t count = 0;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    const bool looked_up = spec.outside == &Parameters::embed_tokens && !config.tie_word_embeddings;
    if (!spec.weight_decay || looked_up) continue;
    for (const HuggingFaceTensor& tensor : spec.tensors) count += tensor.shape.numel();
  }
  return count;
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
