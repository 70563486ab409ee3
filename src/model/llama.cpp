#include "lighthouse/model/llama.h"

#include "token_chunks.h"

namespace lighthouse {

Llama::Llama(const ModelConfig& config, const PassSettings& settings, Backend& backend)
    : config_(config), settings_(settings), backend_(backend), linear_(backend) {
  config.check();
  const AttentionShape shape{settings.batch, settings.sequence_length, config.num_attention_heads,
                             config.num_key_value_heads, config.head_dim()};
  const FeedForwardSettings feed_forward{tokens(), config.intermediate_size, settings.backward, keeps(Recompute::kMlp)};
  for (const LayerAttention& attention : attention_of_layers(settings.kind, settings.attention, config)) {
    Layer& layer = layers_.emplace_back();
    layer.attention = make_attention(attention, settings.attention.lighthouse, shape, rope_, backend,
                                     settings.document_end ? &documents_ : nullptr);
    layer.feed_forward = make_feed_forward(feed_forward, linear_, backend);
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
  } else {  // nothing is kept: all layers share the memory
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
  layer.feed_forward->lay_out_kept(arena);
}

void Llama::lay_out_scratch(Arena& arena) {
  const int64_t t = tokens();
  const Shape hidden{t, config_.hidden_size};
  const auto scratch = [&](const Shape& shape) { return activation(arena, MemoryUse::kScratch, shape); };
  const auto bytes = [&](int64_t size) { return arena.allocate(MemoryUse::kScratch, {size}, DType::kUInt8); };
  // Where everything is kept, these have a shape and no memory.
  Arena none;
  Arena& of_norms = keeps(Recompute::kNorms) ? none : arena;
  Arena& of_block = keeps(Recompute::kBlock) ? none : arena;
  const Tensor normed = activation(of_norms, MemoryUse::kScratch, hidden);
  shared_input_ = {Tensor(), normed, of_block.allocate(MemoryUse::kScratch, {t})};
  shared_middle_ = {activation(of_block, MemoryUse::kScratch, hidden), normed,
                    of_block.allocate(MemoryUse::kScratch, {t})};
  linear_.lay_out_scratch(arena);
  projected_ = scratch(hidden);
  if (settings_.backward) {
    d_residual_ = scratch(hidden);
    d_normed_ = scratch(hidden);
    norm_scratch_ = bytes(backend_.rmsnorm_backward_scratch(t, config_.hidden_size));
  }
  // A recomputed block holds the tensors of its attention while its feed-forward network runs backward.
  if (!keeps(Recompute::kBlock)) {
    lay_out_full_length(arena);
    overlay_layers(arena, [&](Layer& layer) { layer.attention->lay_out_recomputed(arena); });
  }
  const auto loss = [&] {
    const int64_t v = config_.padded_vocab_size();
    const int64_t limit = settings_.logits_bytes > 0 ? settings_.logits_bytes : backend_.logits_bytes();
    logits_ = scratch({tokens_per_chunk(t, limit / (v * size_of(backend_.dtype()))), v});
  };
  const auto embedding = [&] {
    if (settings_.backward) embedding_scratch_ = bytes(backend_.embedding_backward_scratch(t, config_.hidden_size));
  };
  const auto feed_forward = [&] {
    overlay_layers(arena, [&](Layer& layer) { layer.feed_forward->lay_out_scratch(arena); });
  };
  arena.overlay({[&] { lay_out_attention_scratch(arena); }, feed_forward, loss, embedding});
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
  overlay_layers(arena, [&](Layer& layer) { layer.attention->lay_out_scratch(arena); });
}

void Llama::overlay_layers(Arena& arena, const std::function<void(Layer&)>& lay_out) {
  std::vector<std::function<void()>> layouts;
  for (Layer& layer : layers_) layouts.emplace_back([&] { lay_out(layer); });
  arena.overlay(layouts);
}

void Llama::prepare(const Stream& stream) {
  backend_.rope_table(stream, rope_.cos, rope_.sin, {settings_.rope_theta, config_.rope_scaling});
}

// ---- Hooks ----

Llama::HooksHandle Llama::add_hooks(LayerHooks hooks) {
  hooks_.emplace(next_hooks_, std::move(hooks));
  return next_hooks_++;
}

void Llama::call_hooks(LayerHooks::Layer LayerHooks::*hook, int64_t layer) const {
  for (const auto& [handle, hooks] : hooks_) {
    if (hooks.*hook) (hooks.*hook)(layer);
  }
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
    const auto index = static_cast<int64_t>(i);
    const bool last = i + 1 == layers_.size();
    call_hooks(&LayerHooks::weights_needed, index);
    forward_attention(stream, layers_[i], weights.layers[i]);
    for (const auto& [handle, hooks] : hooks_) {
      if (hooks.qkv_ready) hooks.qkv_ready(index, layers_[i].qkv);
    }
    forward_feed_forward(stream, layers_[i], weights.layers[i], last ? output_ : layers_[i + 1].input,
                         last ? weights.norm : weights.layers[i + 1].input_layernorm);
    call_hooks(&LayerHooks::weights_done, index);
  }
}

void Llama::forward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights) {
  project_qkv(stream, layer, weights);
  layer.attention->forward(stream, layer.attended, layer.qkv);
  project_attended(stream, layer, weights);
}

void Llama::project_qkv(const Stream& stream, const Layer& layer, const LayerParameters& weights) {
  linear_.forward(stream, layer.qkv.view({tokens(), config_.qkv_size()}), layer.input.normed, weights.qkv);
}

void Llama::project_attended(const Stream& stream, const Layer& layer, const LayerParameters& weights) {
  linear_.forward(stream, projected_, layer.attended.view({tokens(), weights.o_proj.size(1)}), weights.o_proj);
  add_projected(stream, layer.middle, layer.input, weights.post_attention_layernorm);
}

void Llama::forward_feed_forward(const Stream& stream, Layer& layer, const LayerParameters& weights,
                                 const Residual& output, const Tensor& next_norm) {
  layer.feed_forward->forward(stream, projected_, layer.middle.normed, weights);
  add_projected(stream, output, layer.middle, next_norm);
}

void Llama::add_projected(const Stream& stream, const Residual& to, const Residual& from, const Tensor& norm) {
  backend_.rmsnorm_residual_forward(stream, to.sum, to.normed, to.rstd, from.sum, projected_, norm,
                                    config_.rms_norm_eps);
}

// ---- Loss ----

void Llama::logits(const Stream& stream, const Tensor& out, const Parameters& weights, int64_t first) {
  linear_.forward(stream, out, output_.normed.slice(0, first, first + out.size(0)), weights.lm_head);
}

void Llama::loss(const Stream& stream, const Parameters& weights, const Tensor& targets) {
  for_each_chunk(tokens(), logits_.size(0), [&](int64_t begin, int64_t end) {
    const Tensor chunk = logits_.slice(0, 0, end - begin);
    logits(stream, chunk, weights, begin);
    backend_.cross_entropy_forward(stream, losses_.slice(0, begin, end), chunk,
                                   targets.view({tokens()}).slice(0, begin, end), config_.token_count());
  });
}

void Llama::loss_backward(const Stream& stream, const Parameters& weights, const Parameters& gradients,
                          const Tensor& targets, double scale) {
  for_each_chunk(tokens(), logits_.size(0), [&](int64_t begin, int64_t end) {
    const Tensor chunk = logits_.slice(0, 0, end - begin);
    logits(stream, chunk, weights, begin);
    backend_.cross_entropy_forward_backward(stream, losses_.slice(0, begin, end), chunk,
                                            targets.view({tokens()}).slice(0, begin, end), config_.token_count(),
                                            scale);
    // `chunk` now holds the gradient of the logits.
    linear_.backward(stream, d_normed_.slice(0, begin, end), gradients.lm_head, chunk,
                     output_.normed.slice(0, begin, end), weights.lm_head);
  });
  if (!config_.tie_word_embeddings) call_hooks(&LayerHooks::gradients_ready, config_.num_hidden_layers);
}

// ---- Backward ----

void Llama::backward(const Stream& stream, const Parameters& weights, const Parameters& gradients,
                     const Tensor& tokens) {
  backend_.fill(stream, d_residual_, 0);
  backward_norm(stream, output_, weights.norm, gradients.norm);
  for (size_t i = layers_.size(); i-- > 0;) {
    const auto index = static_cast<int64_t>(i);
    call_hooks(&LayerHooks::weights_needed, index);
    if (!keeps(Recompute::kBlock)) recompute_block(stream, layers_[i], weights.layers[i]);
    backward_feed_forward(stream, layers_[i], weights.layers[i], gradients.layers[i]);
    backward_attention(stream, layers_[i], weights.layers[i], gradients.layers[i]);
    call_hooks(&LayerHooks::weights_done, index);
    call_hooks(&LayerHooks::gradients_ready, index);
  }
  backend_.embedding_backward(stream, gradients.embed_tokens, embedding_scratch_, d_residual_,
                              tokens.view({this->tokens()}));
  call_hooks(&LayerHooks::gradients_ready, -1);
}

void Llama::backward_norm(const Stream& stream, const Residual& at, const Tensor& norm, const Tensor& d_norm) {
  backend_.rmsnorm_backward(stream, d_residual_, d_norm, norm_scratch_, d_normed_, at.sum, norm, at.rstd);
}

void Llama::recompute_norm(const Stream& stream, const Residual& at, const Tensor& norm) {
  backend_.rmsnorm_forward(stream, at.normed, at.rstd, at.sum, norm, config_.rms_norm_eps);
}

void Llama::recompute_block(const Stream& stream, Layer& layer, const LayerParameters& weights) {
  if (layer.attention->keeps_qkv()) {
    recompute_norm(stream, layer.input, weights.input_layernorm);
    project_qkv(stream, layer, weights);
    layer.attention->recompute(stream, layer.attended, layer.qkv);
  } else {
    layer.attention->restore_output(stream, layer.attended);
  }
  project_attended(stream, layer, weights);
}

void Llama::backward_feed_forward(const Stream& stream, Layer& layer, const LayerParameters& weights,
                                  const LayerParameters& gradients) {
  // recompute_block() has made this norm already.
  if (keeps(Recompute::kBlock) && !keeps(Recompute::kNorms)) {
    recompute_norm(stream, layer.middle, weights.post_attention_layernorm);
  }
  layer.feed_forward->backward(stream, d_normed_, d_residual_, layer.middle.normed, weights, gradients);
  backward_norm(stream, layer.middle, weights.post_attention_layernorm, gradients.post_attention_layernorm);
}

void Llama::backward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights,
                               const LayerParameters& gradients) {
  const Shape rows{tokens(), weights.o_proj.size(1)};
  if (keeps(Recompute::kBlock)) layer.attention->restore_output(stream, layer.attended);
  linear_.backward(stream, d_attended_.view(rows), gradients.o_proj, d_residual_, layer.attended.view(rows),
                   weights.o_proj);
  layer.attention->backward(stream, d_qkv_, d_attended_, layer.attended, layer.qkv);
  if (!keeps(Recompute::kNorms)) recompute_norm(stream, layer.input, weights.input_layernorm);
  linear_.backward(stream, d_normed_, gradients.qkv, d_qkv_.view({tokens(), config_.qkv_size()}), layer.input.normed,
                   weights.qkv);
  backward_norm(stream, layer.input, weights.input_layernorm, gradients.input_layernorm);
}

}  // namespace lighthouse
