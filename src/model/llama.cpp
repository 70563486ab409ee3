#include "lighthouse/model/llama.h"

#include <algorithm>

namespace lighthouse {
namespace {

/// Tokens whose feed-forward part is in memory together: enough for products to be fast, few enough for a sequence of a
/// million.
constexpr int64_t kMlpTokens = 65536;

/// The size of chunks of at most `most` tokens, a multiple of 128, and about even.
int64_t tokens_per_chunk(int64_t tokens, int64_t most) {
  const int64_t fitting = std::max<int64_t>(128, most / 128 * 128);
  const int64_t chunks = (tokens + fitting - 1) / fitting;
  const int64_t even = (tokens + chunks - 1) / chunks;
  return std::min(tokens, (even + 127) / 128 * 128);
}

}  // namespace

Llama::Llama(const ModelConfig& config, const PassSettings& settings, Backend& backend)
    : config_(config), settings_(settings), backend_(backend) {
  config.check();
  const AttentionShape shape{settings.batch, settings.sequence_length, config.num_attention_heads,
                             config.num_key_value_heads, config.head_dim()};
  for (const LayerAttention& attention : attention_of_layers(settings.kind, settings.attention, config)) {
    Layer& layer = layers_.emplace_back();
    layer.attention = make_attention(attention, settings.attention.lighthouse, shape, rope_, backend,
                                     settings.document_end ? &documents_ : nullptr);
  }
}

// ---- Memory ----

Tensor Llama::activation(Arena& arena, MemoryUse use, const Shape& shape) const {
  return arena.allocate(use, shape, backend_.dtype());
}

void Llama::lay_out(Arena& arena) {
  const int64_t n = settings_.sequence_length;
  const Shape hidden{tokens(), config_.hidden_size};
  rope_.cos = arena.allocate(MemoryUse::kActivations, {n, config_.head_dim() / 2});
  rope_.sin = arena.allocate(MemoryUse::kActivations, {n, config_.head_dim() / 2});
  if (settings_.document_end) {
    documents_.starts = arena.allocate(MemoryUse::kActivations, {settings_.batch, n}, DType::kInt32);
    documents_.bounds = arena.allocate(MemoryUse::kActivations, {tokens() + 2}, DType::kInt32);
  }
  losses_ = arena.allocate(MemoryUse::kActivations, {tokens()});
  output_ = {activation(arena, MemoryUse::kActivations, hidden), activation(arena, MemoryUse::kActivations, hidden),
             arena.allocate(MemoryUse::kActivations, {tokens()})};
  lay_out_scratch(arena);
  if (settings_.backward) {
    for (Layer& layer : layers_) lay_out_layer(arena, layer);
  } else {  // nothing is kept: every layer over the one before
    std::vector<std::function<void()>> layouts;
    for (Layer& layer : layers_) layouts.emplace_back([&] { lay_out_layer(arena, layer); });
    arena.overlay(layouts);
  }
}

void Llama::lay_out_layer(Arena& arena, Layer& layer) {
  const auto kept = [&](bool keep, const Tensor& shared) {
    return keep ? arena.allocate(MemoryUse::kActivations, shared.shape(), shared.dtype()) : shared;
  };
  const bool of_block = keeps(Recompute::kBlock);
  layer.input.sum = activation(arena, MemoryUse::kActivations, {tokens(), config_.hidden_size});
  layer.input.normed = kept(keeps(Recompute::kNorms), shared_input_.normed);
  layer.input.rstd = kept(of_block, shared_input_.rstd);
  layer.qkv = kept(of_block && layer.attention->keeps_qkv(), qkv_);
  layer.attended = kept(of_block && layer.attention->keeps_output(), attended_);
  layer.attention->lay_out_kept(arena);
  if (of_block) layer.attention->lay_out_recomputed(arena);
  layer.middle.sum = kept(of_block, shared_middle_.sum);
  layer.middle.normed = kept(keeps(Recompute::kNorms), shared_middle_.normed);
  layer.middle.rstd = kept(of_block, shared_middle_.rstd);
  if (!keeps(Recompute::kMlp)) return;
  layer.gate_up = activation(arena, MemoryUse::kActivations, {tokens(), 2 * config_.intermediate_size});
}

void Llama::lay_out_scratch(Arena& arena) {
  const int64_t t = tokens();
  const Shape hidden{t, config_.hidden_size};
  const auto scratch = [&](const Shape& shape) { return activation(arena, MemoryUse::kScratch, shape); };
  const auto bytes = [&](int64_t size) { return arena.allocate(MemoryUse::kScratch, {size}, DType::kUInt8); };
  // Where all is kept these have a shape and no memory.
  Arena none;
  Arena& of_norms = keeps(Recompute::kNorms) ? none : arena;
  Arena& of_block = keeps(Recompute::kBlock) ? none : arena;
  const Tensor normed = activation(of_norms, MemoryUse::kScratch, hidden);
  shared_input_ = {Tensor(), normed, of_block.allocate(MemoryUse::kScratch, {t})};
  shared_middle_ = {activation(of_block, MemoryUse::kScratch, hidden), normed,
                    of_block.allocate(MemoryUse::kScratch, {t})};
  linear_scratch_ = bytes(backend_.linear_scratch());
  projected_ = scratch(hidden);
  if (settings_.backward) {
    d_residual_ = scratch(hidden);
    d_normed_ = scratch(hidden);
    norm_scratch_ = bytes(backend_.rmsnorm_backward_scratch(t, config_.hidden_size));
  }
  // A block that is made again has both halves in use at once; otherwise they take turns.
  if (!keeps(Recompute::kBlock)) {
    lay_out_full_length(arena);
    overlay_layers(arena, [&](Attention& attention) { attention.lay_out_recomputed(arena); });
    gate_up_ = scratch({mlp_chunk(), 2 * config_.intermediate_size});
  }
  const auto loss = [&] {
    const int64_t v = config_.padded_vocab_size();
    const int64_t at_most = settings_.logits_bytes > 0 ? settings_.logits_bytes : backend_.logits_bytes();
    logits_ = scratch({tokens_per_chunk(t, at_most / (v * size_of(backend_.dtype()))), v});
  };
  const auto embedding = [&] {
    if (settings_.backward) embedding_scratch_ = bytes(backend_.embedding_backward_scratch(t, config_.hidden_size));
  };
  arena.overlay({[&] { lay_out_attention_scratch(arena); }, [&] { lay_out_mlp_scratch(arena); }, loss, embedding});
}

void Llama::lay_out_full_length(Arena& arena) {
  qkv_ = activation(arena, MemoryUse::kScratch, {settings_.batch, settings_.sequence_length, config_.qkv_size()});
  attended_ = activation(arena, MemoryUse::kScratch,
                         {settings_.batch, settings_.sequence_length, config_.num_attention_heads, config_.head_dim()});
}

void Llama::lay_out_attention_scratch(Arena& arena) {
  if (keeps(Recompute::kBlock)) lay_out_full_length(arena);
  if (settings_.backward) {
    d_qkv_ = activation(arena, MemoryUse::kScratch, qkv_.shape());
    d_attended_ = activation(arena, MemoryUse::kScratch, attended_.shape());
  }
  overlay_layers(arena, [&](Attention& attention) { attention.lay_out_scratch(arena); });
}

void Llama::overlay_layers(Arena& arena, const std::function<void(Attention&)>& lay_out) {
  std::vector<std::function<void()>> layouts;
  for (Layer& layer : layers_) layouts.emplace_back([&] { lay_out(*layer.attention); });
  arena.overlay(layouts);
}

int64_t Llama::mlp_chunk() const {
  return tokens_per_chunk(tokens(), kMlpTokens);
}

void Llama::lay_out_mlp_scratch(Arena& arena) {
  const Shape wide{mlp_chunk(), config_.intermediate_size};
  const Shape both{mlp_chunk(), 2 * config_.intermediate_size};
  if (keeps(Recompute::kBlock) && !keeps(Recompute::kMlp)) gate_up_ = activation(arena, MemoryUse::kScratch, both);
  activated_ = activation(arena, MemoryUse::kScratch, wide);
  if (!settings_.backward) return;
  d_activated_ = activation(arena, MemoryUse::kScratch, wide);
  d_gate_up_ = activation(arena, MemoryUse::kScratch, both);
}

void Llama::prepare(const Stream& stream) {
  backend_.rope_table(stream, rope_.cos, rope_.sin, {settings_.rope_theta, config_.rope_scaling});
}

// ---- Forward ----

void Llama::forward(const Stream& stream, const Parameters& weights, const Tensor& tokens) {
  const Residual& first = layers_.front().input;
  if (settings_.document_end) {
    documents_.count = backend_.find_documents(stream, documents_, tokens, *settings_.document_end);
  }
  backend_.embedding_forward(stream, first.sum, weights.embed_tokens, tokens.view({this->tokens()}));
  backend_.rmsnorm_forward(stream, first.normed, first.rstd, first.sum, weights.layers.front().input_layernorm,
                           config_.rms_norm_eps);
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layer_hook_) layer_hook_(static_cast<int64_t>(i));
    const bool last = i + 1 == layers_.size();
    forward_attention(stream, layers_[i], weights.layers[i]);
    if (qkv_hook_) qkv_hook_(static_cast<int64_t>(i), layers_[i].qkv);
    forward_mlp(stream, layers_[i], weights.layers[i], last ? output_ : layers_[i + 1].input,
                last ? weights.norm : weights.layers[i + 1].input_layernorm);
  }
}

void Llama::linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& weight) {
  backend_.linear_forward(stream, out, linear_scratch_, x, weight);
}

void Llama::forward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights) {
  linear(stream, layer.qkv.view({tokens(), config_.qkv_size()}), layer.input.normed, weights.qkv);
  layer.attention->forward(stream, layer.attended, layer.qkv);
  linear(stream, projected_, layer.attended.view({tokens(), weights.o_proj.size(1)}), weights.o_proj);
  add_projected(stream, layer.middle, layer.input, weights.post_attention_layernorm);
}

void Llama::forward_mlp(const Stream& stream, Layer& layer, const LayerParameters& weights, const Residual& output,
                        const Tensor& next_norm) {
  for_chunks_of_tokens(mlp_chunk(), [&](int64_t begin, int64_t end) {
    const Tensor gate_up = gate_up_of(layer, begin, end), activated = activated_.slice(0, 0, end - begin);
    linear(stream, gate_up, layer.middle.normed.slice(0, begin, end), weights.gate_up);
    backend_.swiglu_forward(stream, activated, gate_up);
    linear(stream, projected_.slice(0, begin, end), activated, weights.down_proj);
  });
  add_projected(stream, output, layer.middle, next_norm);
}

Tensor Llama::gate_up_of(const Layer& layer, int64_t begin, int64_t end) const {
  return keeps(Recompute::kMlp) ? layer.gate_up.slice(0, begin, end) : gate_up_.slice(0, 0, end - begin);
}

void Llama::add_projected(const Stream& stream, const Residual& to, const Residual& from, const Tensor& norm) {
  backend_.rmsnorm_residual_forward(stream, to.sum, to.normed, to.rstd, from.sum, projected_, norm,
                                    config_.rms_norm_eps);
}

// ---- Loss ----

void Llama::for_chunks_of_tokens(int64_t chunk, const std::function<void(int64_t, int64_t)>& body) const {
  for (int64_t begin = 0; begin < tokens(); begin += chunk) body(begin, std::min(begin + chunk, tokens()));
}

void Llama::logits(const Stream& stream, const Tensor& out, const Parameters& weights, int64_t first) {
  linear(stream, out, output_.normed.slice(0, first, first + out.size(0)), weights.lm_head);
}

void Llama::loss(const Stream& stream, const Parameters& weights, const Tensor& targets) {
  for_chunks_of_tokens(logits_.size(0), [&](int64_t begin, int64_t end) {
    const Tensor chunk = logits_.slice(0, 0, end - begin);
    logits(stream, chunk, weights, begin);
    backend_.cross_entropy_forward(stream, losses_.slice(0, begin, end), chunk,
                                   targets.view({tokens()}).slice(0, begin, end), config_.token_count());
  });
}

void Llama::loss_backward(const Stream& stream, const Parameters& weights, const Parameters& gradients,
                          const Tensor& targets, double scale) {
  for_chunks_of_tokens(logits_.size(0), [&](int64_t begin, int64_t end) {
    const Tensor chunk = logits_.slice(0, 0, end - begin);
    logits(stream, chunk, weights, begin);
    backend_.cross_entropy_forward_backward(stream, losses_.slice(0, begin, end), chunk,
                                            targets.view({tokens()}).slice(0, begin, end), config_.token_count(),
                                            scale);
    // `chunk` now holds the gradient of the logits.
    linear_backward(stream, d_normed_.slice(0, begin, end), gradients.lm_head, chunk,
                    output_.normed.slice(0, begin, end), weights.lm_head);
  });
  if (!config_.tie_word_embeddings) notify_gradients_ready(config_.num_hidden_layers);
}

// ---- Backward ----

void Llama::backward(const Stream& stream, const Parameters& weights, const Parameters& gradients,
                     const Tensor& tokens) {
  backend_.fill(stream, d_residual_, 0);
  backward_norm(stream, output_, weights.norm, gradients.norm);
  for (size_t i = layers_.size(); i-- > 0;) {
    if (layer_hook_) layer_hook_(static_cast<int64_t>(i));
    if (!keeps(Recompute::kBlock)) recompute_block(stream, layers_[i], weights.layers[i]);
    backward_mlp(stream, layers_[i], weights.layers[i], gradients.layers[i]);
    backward_attention(stream, layers_[i], weights.layers[i], gradients.layers[i]);
    notify_gradients_ready(static_cast<int64_t>(i));
  }
  backend_.embedding_backward(stream, gradients.embed_tokens, embedding_scratch_, d_residual_,
                              tokens.view({this->tokens()}));
  notify_gradients_ready(-1);
}

void Llama::backward_norm(const Stream& stream, const Residual& at, const Tensor& norm, const Tensor& d_norm) {
  backend_.rmsnorm_backward(stream, d_residual_, d_norm, norm_scratch_, d_normed_, at.sum, norm, at.rstd);
}

void Llama::linear_backward(const Stream& stream, const Tensor& dx, const Tensor& dweight, const Tensor& dout,
                            const Tensor& x, const Tensor& weight) {
  backend_.linear_backward_input(stream, dx, linear_scratch_, dout, weight);
  backend_.linear_backward_weight(stream, dweight, linear_scratch_, dout, x);
}

void Llama::recompute_norm(const Stream& stream, const Residual& at, const Tensor& norm) {
  backend_.rmsnorm_forward(stream, at.normed, at.rstd, at.sum, norm, config_.rms_norm_eps);
}

void Llama::recompute_block(const Stream& stream, Layer& layer, const LayerParameters& weights) {
  if (layer.attention->keeps_qkv()) {
    recompute_norm(stream, layer.input, weights.input_layernorm);
    linear(stream, layer.qkv.view({tokens(), config_.qkv_size()}), layer.input.normed, weights.qkv);
    layer.attention->recompute(stream, layer.attended, layer.qkv);
  } else {
    layer.attention->restore_output(stream, layer.attended);
  }
  linear(stream, projected_, layer.attended.view({tokens(), weights.o_proj.size(1)}), weights.o_proj);
  add_projected(stream, layer.middle, layer.input, weights.post_attention_layernorm);
}

void Llama::backward_mlp(const Stream& stream, Layer& layer, const LayerParameters& weights,
                         const LayerParameters& gradients) {
  // A block that was just made again has it.
  if (keeps(Recompute::kBlock) && !keeps(Recompute::kNorms)) {
    recompute_norm(stream, layer.middle, weights.post_attention_layernorm);
  }
  for_chunks_of_tokens(mlp_chunk(), [&](int64_t begin, int64_t end) {
    const Tensor gate_up = gate_up_of(layer, begin, end), normed = layer.middle.normed.slice(0, begin, end);
    const Tensor d_out = d_residual_.slice(0, begin, end), d_gate_up = d_gate_up_.slice(0, 0, end - begin);
    const Tensor activated = activated_.slice(0, 0, end - begin), d_activated = d_activated_.slice(0, 0, end - begin);
    if (!keeps(Recompute::kMlp)) linear(stream, gate_up, normed, weights.gate_up);
    backend_.linear_backward_input(stream, d_activated, linear_scratch_, d_out, weights.down_proj);
    backend_.swiglu_backward(stream, d_gate_up, activated, d_activated, gate_up);
    backend_.linear_backward_weight(stream, gradients.down_proj, linear_scratch_, d_out, activated);
    linear_backward(stream, d_normed_.slice(0, begin, end), gradients.gate_up, d_gate_up, normed, weights.gate_up);
  });
  backward_norm(stream, layer.middle, weights.post_attention_layernorm, gradients.post_attention_layernorm);
}

void Llama::backward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights,
                               const LayerParameters& gradients) {
  const Shape rows{tokens(), weights.o_proj.size(1)};
  if (keeps(Recompute::kBlock)) layer.attention->restore_output(stream, layer.attended);
  linear_backward(stream, d_attended_.view(rows), gradients.o_proj, d_residual_, layer.attended.view(rows),
                  weights.o_proj);
  layer.attention->backward(stream, d_qkv_, d_attended_, layer.attended, layer.qkv);
  if (!keeps(Recompute::kNorms)) recompute_norm(stream, layer.input, weights.input_layernorm);
  linear_backward(stream, d_normed_, gradients.qkv, d_qkv_.view({tokens(), config_.qkv_size()}), layer.input.normed,
                  weights.qkv);
  backward_norm(stream, layer.input, weights.input_layernorm, gradients.input_layernorm);
}

}  // namespace lighthouse
