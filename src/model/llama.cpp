#include "lighthouse/model/llama.h"

#include <algorithm>

namespace lighthouse {
namespace {

/// Tokens whose logits are in memory together: as many as fit into 64 MiB, at least 128.
int64_t tokens_per_chunk(int64_t tokens, int64_t padded_vocab_size) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  const int64_t fitting = kBytes / (padded_vocab_size * size_of(DType::kFloat32)) / 128 * 128;
  return std::min(tokens, std::max<int64_t>(128, fitting));
}

}  // namespace

Llama::Llama(const ModelConfig& config, const PassSettings& settings, Backend& backend)
    : config_(config), settings_(settings), backend_(backend) {
  config.check();
  const AttentionShape shape{settings.batch, settings.sequence_length, config.num_attention_heads,
                             config.num_key_value_heads, config.head_dim()};
  for (AttentionKind kind : attention_of_layers(settings.attention, settings.lighthouse, config.num_hidden_layers)) {
    Layer& layer = layers_.emplace_back();
    layer.attention = make_attention(kind, settings.lighthouse, shape, rope_, backend);
  }
}

// ---- Memory ----

void Llama::lay_out(Arena& arena) {
  const int64_t n = settings_.sequence_length;
  rope_.cos = arena.allocate(MemoryUse::kActivations, {n, config_.head_dim() / 2});
  rope_.sin = arena.allocate(MemoryUse::kActivations, {n, config_.head_dim() / 2});
  losses_ = arena.allocate(MemoryUse::kActivations, {tokens()});
  lay_out_residual(arena, output_);
  lay_out_scratch(arena);
  if (settings_.backward) {
    for (Layer& layer : layers_) lay_out_layer(arena, layer);
  } else {  // nothing is kept: every layer over the one before
    std::vector<std::function<void()>> layouts;
    for (Layer& layer : layers_) layouts.emplace_back([&] { lay_out_layer(arena, layer); });
    arena.overlay(layouts);
  }
}

void Llama::lay_out_residual(Arena& arena, Residual& residual) {
  residual.sum = arena.allocate(MemoryUse::kActivations, {tokens(), config_.hidden_size});
  residual.normed = arena.allocate(MemoryUse::kActivations, {tokens(), config_.hidden_size});
  residual.rstd = arena.allocate(MemoryUse::kActivations, {tokens()});
}

void Llama::lay_out_layer(Arena& arena, Layer& layer) {
  lay_out_residual(arena, layer.input);
  layer.qkv = qkv_;
  layer.attended = attended_;
  if (layer.attention->keeps_full_length()) {
    layer.qkv = arena.allocate(MemoryUse::kActivations, qkv_.shape());
    layer.attended = arena.allocate(MemoryUse::kActivations, attended_.shape());
  }
  layer.attention->lay_out_kept(arena);
  lay_out_residual(arena, layer.middle);
  layer.gate_up = arena.allocate(MemoryUse::kActivations, {tokens(), 2 * config_.intermediate_size});
}

void Llama::lay_out_scratch(Arena& arena) {
  const auto scratch = [&](const Shape& shape) { return arena.allocate(MemoryUse::kScratch, shape); };
  const int64_t t = tokens();
  const Shape qkv{settings_.batch, settings_.sequence_length, config_.qkv_size()};
  const Shape attended{settings_.batch, settings_.sequence_length, config_.num_attention_heads, config_.head_dim()};
  projected_ = scratch({t, config_.hidden_size});
  if (settings_.backward) {
    d_residual_ = scratch({t, config_.hidden_size});
    d_normed_ = scratch({t, config_.hidden_size});
    norm_scratch_ =
        arena.allocate(MemoryUse::kScratch, {backend_.rmsnorm_backward_scratch(t, config_.hidden_size)}, DType::kUInt8);
  }
  const auto attention = [&] {
    qkv_ = scratch(qkv);
    attended_ = scratch(attended);
    if (settings_.backward) {
      d_qkv_ = scratch(qkv);
      d_attended_ = scratch(attended);
    }
    std::vector<std::function<void()>> of_layers;
    for (Layer& layer : layers_) of_layers.emplace_back([&] { layer.attention->lay_out_scratch(arena); });
    arena.overlay(of_layers);
  };
  const auto mlp = [&] {
    activated_ = scratch({t, config_.intermediate_size});
    if (settings_.backward) {
      d_activated_ = scratch({t, config_.intermediate_size});
      d_gate_up_ = scratch({t, 2 * config_.intermediate_size});
    }
  };
  const auto loss = [&] {
    const int64_t v = config_.padded_vocab_size();
    logits_ = scratch({tokens_per_chunk(t, v), v});
  };
  arena.overlay({attention, mlp, loss});
}

void Llama::prepare(const Stream& stream) {
  backend_.rope_table(stream, rope_.cos, rope_.sin, settings_.rope_theta);
}

// ---- Forward ----

void Llama::forward(const Stream& stream, const Parameters& weights, const Tensor& tokens) {
  const Residual& first = layers_.front().input;
  backend_.embedding_forward(stream, first.sum, weights.embed_tokens, tokens.view({this->tokens()}));
  backend_.rmsnorm_forward(stream, first.normed, first.rstd, first.sum, weights.layers.front().input_layernorm,
                           config_.rms_norm_eps);
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layer_hook_) layer_hook_(static_cast<int64_t>(i));
    const bool last = i + 1 == layers_.size();
    forward_attention(stream, layers_[i], weights.layers[i]);
    forward_mlp(stream, layers_[i], weights.layers[i], last ? output_ : layers_[i + 1].input,
                last ? weights.norm : weights.layers[i + 1].input_layernorm);
  }
}

void Llama::forward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights) {
  backend_.linear_forward(stream, layer.qkv.view({tokens(), config_.qkv_size()}), layer.input.normed, weights.qkv);
  layer.attention->forward(stream, layer.attended, layer.qkv);
  backend_.linear_forward(stream, projected_, layer.attended.view({tokens(), weights.o_proj.size(1)}), weights.o_proj);
  add_projected(stream, layer.middle, layer.input, weights.post_attention_layernorm);
}

void Llama::forward_mlp(const Stream& stream, Layer& layer, const LayerParameters& weights, const Residual& output,
                        const Tensor& next_norm) {
  backend_.linear_forward(stream, layer.gate_up, layer.middle.normed, weights.gate_up);
  backend_.swiglu_forward(stream, activated_, layer.gate_up);
  backend_.linear_forward(stream, projected_, activated_, weights.down_proj);
  add_projected(stream, output, layer.middle, next_norm);
}

void Llama::add_projected(const Stream& stream, const Residual& to, const Residual& from, const Tensor& norm) {
  backend_.rmsnorm_residual_forward(stream, to.sum, to.normed, to.rstd, from.sum, projected_, norm,
                                    config_.rms_norm_eps);
}

// ---- Loss ----

void Llama::for_chunks_of_tokens(const std::function<void(int64_t, int64_t)>& body) const {
  const int64_t chunk = logits_.size(0);
  for (int64_t begin = 0; begin < tokens(); begin += chunk) body(begin, std::min(begin + chunk, tokens()));
}

void Llama::logits(const Stream& stream, const Tensor& out, const Parameters& weights, int64_t first) {
  backend_.linear_forward(stream, out, output_.normed.slice(0, first, first + out.size(0)), weights.lm_head);
}

void Llama::loss(const Stream& stream, const Parameters& weights, const Tensor& targets) {
  for_chunks_of_tokens([&](int64_t begin, int64_t end) {
    const Tensor chunk = logits_.slice(0, 0, end - begin);
    logits(stream, chunk, weights, begin);
    backend_.cross_entropy_forward(stream, losses_.slice(0, begin, end), chunk,
                                   targets.view({tokens()}).slice(0, begin, end), config_.vocab_size);
  });
}

void Llama::loss_backward(const Stream& stream, const Parameters& weights, const Parameters& gradients,
                          const Tensor& targets, double scale) {
  for_chunks_of_tokens([&](int64_t begin, int64_t end) {
    const Tensor chunk = logits_.slice(0, 0, end - begin);
    logits(stream, chunk, weights, begin);
    backend_.cross_entropy_forward_backward(stream, losses_.slice(0, begin, end), chunk,
                                            targets.view({tokens()}).slice(0, begin, end), config_.vocab_size, scale);
    // `chunk` now holds the gradient of the logits.
    backend_.linear_backward_weight(stream, gradients.lm_head, chunk, output_.normed.slice(0, begin, end));
    backend_.linear_backward_input(stream, d_normed_.slice(0, begin, end), chunk, weights.lm_head);
  });
}

// ---- Backward ----

void Llama::backward(const Stream& stream, const Parameters& weights, const Parameters& gradients,
                     const Tensor& tokens) {
  backend_.fill(stream, d_residual_, 0);
  backward_norm(stream, output_, weights.norm, gradients.norm);
  for (size_t i = layers_.size(); i-- > 0;) {
    if (layer_hook_) layer_hook_(static_cast<int64_t>(i));
    backward_mlp(stream, layers_[i], weights.layers[i], gradients.layers[i]);
    backward_attention(stream, layers_[i], weights.layers[i], gradients.layers[i]);
  }
  backend_.embedding_backward(stream, gradients.embed_tokens, d_residual_, tokens.view({this->tokens()}));
}

void Llama::backward_norm(const Stream& stream, const Residual& at, const Tensor& norm, const Tensor& d_norm) {
  backend_.rmsnorm_backward(stream, d_residual_, d_norm, norm_scratch_, d_normed_, at.sum, norm, at.rstd);
}

void Llama::backward_mlp(const Stream& stream, Layer& layer, const LayerParameters& weights,
                         const LayerParameters& gradients) {
  backend_.swiglu_forward(stream, activated_, layer.gate_up);  // again: cheaper than keeping it
  backend_.linear_backward_weight(stream, gradients.down_proj, d_residual_, activated_);
  backend_.linear_backward_input(stream, d_activated_, d_residual_, weights.down_proj);
  backend_.swiglu_backward(stream, d_gate_up_, d_activated_, layer.gate_up);
  backend_.linear_backward_weight(stream, gradients.gate_up, d_gate_up_, layer.middle.normed);
  backend_.linear_backward_input(stream, d_normed_, d_gate_up_, weights.gate_up);
  backward_norm(stream, layer.middle, weights.post_attention_layernorm, gradients.post_attention_layernorm);
}

void Llama::backward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights,
                               const LayerParameters& gradients) {
  const Shape rows{tokens(), weights.o_proj.size(1)};
  layer.attention->restore_output(stream, layer.attended);
  backend_.linear_backward_weight(stream, gradients.o_proj, d_residual_, layer.attended.view(rows));
  backend_.linear_backward_input(stream, d_attended_.view(rows), d_residual_, weights.o_proj);
  layer.attention->backward(stream, d_qkv_, d_attended_, layer.attended, layer.qkv);
  const Tensor d_qkv = d_qkv_.view({tokens(), config_.qkv_size()});
  backend_.linear_backward_weight(stream, gradients.qkv, d_qkv, layer.input.normed);
  backend_.linear_backward_input(stream, d_normed_, d_qkv, weights.qkv);
  backward_norm(stream, layer.input, weights.input_layernorm, gradients.input_layernorm);
}

}  // namespace lighthouse
