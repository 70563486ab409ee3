#include "lighthouse/model/llama_decoder.h"

namespace lighthouse {

LlamaDecoder::LlamaDecoder(const ModelConfig& config, int64_t context, double rope_theta, Backend& backend)
    : config_(config),
      context_(context),
      rope_theta_(rope_theta),
      backend_(backend),
      caches_(static_cast<size_t>(config.num_hidden_layers)) {
  config.check();
}

void LlamaDecoder::lay_out(Arena& arena) {
  const int64_t c = config_.hidden_size, f = config_.intermediate_size, d = config_.head_dim();
  const auto tensor = [&](MemoryUse use, const Shape& shape) { return arena.allocate(use, shape, backend_.dtype()); };
  const auto bytes = [&](int64_t size) { return arena.allocate(MemoryUse::kScratch, {size}, DType::kUInt8); };
  rope_.cos = arena.allocate(MemoryUse::kActivations, {context_, d / 2});
  rope_.sin = arena.allocate(MemoryUse::kActivations, {context_, d / 2});
  const Shape cache{context_, config_.num_key_value_heads, d};
  for (Cache& layer : caches_) {
    layer = {tensor(MemoryUse::kActivations, cache), tensor(MemoryUse::kActivations, cache)};
  }
  for (Tensor* hidden : {&residual_, &normed_, &projected_}) *hidden = tensor(MemoryUse::kScratch, {1, c});
  rstd_ = arena.allocate(MemoryUse::kScratch, {1});
  qkv_ = tensor(MemoryUse::kScratch, {1, config_.qkv_size()});
  attended_ = tensor(MemoryUse::kScratch, {config_.num_attention_heads, d});
  gate_up_ = tensor(MemoryUse::kScratch, {1, 2 * f});
  activated_ = tensor(MemoryUse::kScratch, {1, f});
  logits_ = tensor(MemoryUse::kScratch, {1, config_.padded_vocab_size()});
  attention_scratch_ = bytes(backend_.attention_decode_scratch(cache, config_.num_attention_heads));
  linear_scratch_ = bytes(backend_.linear_scratch());
}

void LlamaDecoder::prepare(const Stream& stream) {
  backend_.rope_table(stream, rope_.cos, rope_.sin, {rope_theta_, config_.rope_scaling});
}

void LlamaDecoder::fill_cache(const Stream& stream, int64_t layer, const Tensor& qkv, int64_t length) {
  const AttentionShape shape{1, qkv.size(1), config_.num_attention_heads, config_.num_key_value_heads,
                             config_.head_dim()};
  const QkvViews in(qkv, shape);
  const Cache& cache = caches_[static_cast<size_t>(layer)];
  backend_.cache_rows(stream, cache.keys, in.k.select(0, 0).slice(0, 0, length));
  backend_.cache_rows(stream, cache.values, in.v.select(0, 0).slice(0, 0, length));
}

void LlamaDecoder::forward(const Stream& stream, const Parameters& weights, const Tensor& token,
                           const Tensor& position) {
  const Tensor heads = qkv_.view({config_.num_attention_heads + 2 * config_.num_key_value_heads, config_.head_dim()});
  backend_.embedding_forward(stream, residual_, weights.embed_tokens, token);
  backend_.rmsnorm_forward(stream, normed_, rstd_, residual_, weights.layers.front().input_layernorm,
                           config_.rms_norm_eps);
  for (size_t i = 0; i < caches_.size(); ++i) {
    const LayerParameters& layer = weights.layers[i];
    linear(stream, qkv_, normed_, layer.qkv);
    backend_.attention_decode(stream, attended_, caches_[i].keys, caches_[i].values, attention_scratch_, heads,
                              rope_.cos, rope_.sin, position);
    linear(stream, projected_, attended_.view({1, attended_.numel()}), layer.o_proj);
    add_projected(stream, layer.post_attention_layernorm);
    linear(stream, gate_up_, normed_, layer.gate_up);
    backend_.swiglu_forward(stream, activated_, gate_up_);
    linear(stream, projected_, activated_, layer.down_proj);
    add_projected(stream, i + 1 == caches_.size() ? weights.norm : weights.layers[i + 1].input_layernorm);
  }
  linear(stream, logits_, normed_, weights.lm_head);
}

void LlamaDecoder::linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& weight) {
  backend_.linear_forward(stream, out, linear_scratch_, x, weight);
}

void LlamaDecoder::add_projected(const Stream& stream, const Tensor& norm) {
  backend_.rmsnorm_residual_forward(stream, residual_, normed_, rstd_, residual_, projected_, norm,
                                    config_.rms_norm_eps);
}

}  // namespace lighthouse
