#include "lighthouse/model/attention/attention.h"

#include "lighthouse/model/attention/causal.h"
#include "lighthouse/model/attention/lighthouse.h"

namespace lighthouse {

QkvViews::QkvViews(const Tensor& qkv, const AttentionShape& shape) {
  const int64_t h = shape.heads;
  const int64_t g = shape.kv_heads;
  const Tensor heads = qkv.split(2, h + 2 * g, shape.head_dim);
  q = heads.slice(2, 0, h);
  k = heads.slice(2, h, h + g);
  v = heads.slice(2, h + g, h + 2 * g);
  qk = heads.slice(2, 0, h + g);
}

std::unique_ptr<Attention> make_attention(const LayerAttention& layer, const LighthouseSettings& settings,
                                          const AttentionShape& shape, const RopeTable& rope, Backend& backend,
                                          const Documents* documents) {
  if (layer.kind == AttentionKind::kLighthouse) {
    return std::make_unique<LighthouseAttention>(settings, shape, rope, backend, layer.window);
  }
  return std::make_unique<CausalAttention>(shape, rope, backend, layer.window, documents);
}

}  // namespace lighthouse
