#include "lighthouse/model/llama_decoder.h"

namespace lighthouse {

LlamaDecoder::LlamaDecoder(const ModelConfig& config, int64_t context, double rope_theta, Backend& backend)
    : config_(config),
      context_(context),
      rope_theta_(rope_theta),
      backend_(backend),
      linear_(backend),
      feed_forward_(make_feed_forward({1, config.intermediate_size}, linear_, backend)),
      windows_(config.sliding_windows()),
      caches_(static_cast<size_t>(config.num_hidden_layers)) {
  config.check();
}

void LlamaDecoder::lay_out(Arena& arena) {
  const int64_t c = config_.hidden_size, d = config_.head_dim();
  const auto tensor = [&](MemoryUse use, const Shape& shape) { return arena.allocate(use, shape, backend_.dtype()); };
  rope_.cos = arena.allocate(MemoryUse::kActivations, {context_, d / 2});
  rope_.sin = arena.allocate(MemoryUse::kActivations, {context_, d / 2});
  const Shape cache{context_, config_.num_key_value_heads, d};
  for (Cache& layer : caches_) {
    layer = {tensor(MemoryUse::kActivations, cache), tensor(MemoryUse::kActivations, cache)};
  }
  residual_ = tensor(MemoryUse::kScratch, {1, c});
  qkv_ = tensor(MemoryUse::kScratch, {1, config_.qkv_size()});
  attended_ = tensor(MemoryUse::kScratch, {config_.num_attention_heads, d});
  feed_forward_->lay_out_decoding(arena);
  logits_ = tensor(MemoryUse::kScratch, {1, config_.padded_vocab_size()});
  const int64_t scratch = backend_.attention_decode_scratch(cache, config_.num_attention_heads);
  attention_scratch_ = arena.allocate(MemoryUse::kScratch, {scratch}, DType::kUInt8);
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
  const double epsilon = config_.rms_norm_eps;
  const Tensor heads = qkv_.view({config_.num_attention_heads + 2 * config_.num_key_value_heads, config_.head_dim()});
  backend_.embedding_forward(stream, residual_, weights.embed_tokens, token);
  for (size_t i = 0; i < caches_.size(); ++i) {
    const LayerParameters& layer = weights.layers[i];
    backend_.token_norm_linear(stream, qkv_, residual_, layer.input_layernorm, epsilon, layer.qkv);
    backend_.attention_decode(stream, attended_, caches_[i].keys, caches_[i].values, attention_scratch_, heads,
                              rope_.cos, rope_.sin, position, windows_[i]);
    backend_.token_linear_add(stream, residual_, attended_.view({1, attended_.numel()}), layer.o_proj);
    feed_forward_->decode(stream, residual_, layer.post_attention_layernorm, epsilon, layer);
  }
  backend_.token_norm_linear(stream, logits_, residual_, weights.norm, epsilon, weights.lm_head);
}

}  // namespace lighthouse
