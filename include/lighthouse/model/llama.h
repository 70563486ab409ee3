// The transformer: Llama's forward and backward pass, written out by hand against Backend.
//
//   x = embed_tokens[tokens]
//   each layer:  x += o_proj(attention(qkv(rmsnorm(x))))
//                x += down_proj(swiglu(gate_up(rmsnorm(x))))
//   logits = lm_head(rmsnorm(x))
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "lighthouse/core/arena.h"
#include "lighthouse/model/attention/attention.h"
#include "lighthouse/model/config.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/model/recompute.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// What one pass over the model works on.
struct PassSettings {
  int64_t batch = 1;            // B
  int64_t sequence_length = 0;  // N
  AttentionKind kind = AttentionKind::kDense;
  AttentionSettings attention;  // which layers are of which kind in a step of `kind`, and how they attend
  double rope_theta = 10000;
  bool backward = true;  // false: no activations are kept
  Recompute recompute = Recompute::kNone;
  std::optional<int32_t> document_end;  // dense and window attention do not look past this token
  int64_t logits_bytes = 0;             // that are in memory at a time; 0: Backend::logits_bytes()
};

/// A Llama bound to one batch shape and one kind of attention. It holds no weights: they come with each call, so that
/// several passes (training, the dense steps among Lighthouse ones, evaluation) share them. Passes that never run at
/// the same time are laid out over the same memory.
///
/// A training micro-batch is forward(), loss_backward(), backward(), in this order.
class Llama {
 public:
  /// Called before each layer's forward and backward. May throw, to give the pass up.
  using LayerHook = std::function<void(int64_t layer)>;
  /// Called after each layer's forward attention with its qkv [B, N, (H + 2 G) D], rotated: what a cache is filled
  /// from.
  using QkvHook = std::function<void(int64_t layer, const Tensor& qkv)>;

  /// Called in the backward pass when gradients are complete: with the number of layers for those of an lm_head of its
  /// own, then with each layer, the last one first, for its matrices, and with -1 for all.
  using GradientHook = std::function<void(int64_t layer)>;

  /// Throws InputError if the Lighthouse settings do not fit the sequence length. `backend` must outlive the model.
  Llama(const ModelConfig& config, const PassSettings& settings, Backend& backend);
  Llama(const Llama&) = delete;
  Llama& operator=(const Llama&) = delete;

  /// Lays out activations and scratch.
  void lay_out(Arena& arena);
  /// Fills what does not change from step to step. Once, after lay_out() on a real arena; again whenever another pass
  /// has used the same memory.
  void prepare(const Stream& stream);

  void set_layer_hook(LayerHook hook) { layer_hook_ = std::move(hook); }
  void set_qkv_hook(QkvHook hook) { qkv_hook_ = std::move(hook); }
  /// Not called where passes are recorded: a recording has no hooks.
  void set_gradient_hook(GradientHook hook) { gradient_hook_ = std::move(hook); }

  /// Runs the layers. tokens int32 [B, N].
  void forward(const Stream& stream, const Parameters& weights, const Tensor& tokens);

  /// After forward(): losses() for targets int32 [B, N], in chunks of tokens, so that the logits of all tokens are
  /// never in memory together.
  void loss(const Stream& stream, const Parameters& weights, const Tensor& targets);

  /// loss(), and begins the backward pass: the gradients of lm_head and of the last hidden states. `scale` is the
  /// factor of each token's loss in what is differentiated: 1 / (tokens of the whole step) for its mean.
  void loss_backward(const Stream& stream, const Parameters& weights, const Parameters& gradients,
                     const Tensor& targets, double scale);

  /// After loss_backward(): the rest of the backward pass; gradients are added to.
  void backward(const Stream& stream, const Parameters& weights, const Parameters& gradients, const Tensor& tokens);

  /// float32 [B N]: -log p(target) in nats, of the last loss.
  const Tensor& losses() const { return losses_; }

  /// After forward(): out [T, V'] = the logits of tokens [first, first + T) of the flattened batch.
  void logits(const Stream& stream, const Tensor& out, const Parameters& weights, int64_t first);

  /// The attention of a layer, for tests that look inside.
  Attention& attention(int64_t layer) { return *layers_[static_cast<size_t>(layer)].attention; }

 private:
  /// The residual stream at one point, and its norm: what the next half-layer reads.
  struct Residual {
    Tensor sum;     // [T, C]
    Tensor normed;  // [T, C]
    Tensor rstd;    // [T]
  };
  /// What backward reads of one layer. A tensor that is not kept lies in scratch that the layers share, and is made
  /// again before it is read.
  struct Layer {
    std::unique_ptr<Attention> attention;
    Residual input;
    Tensor qkv;       // [B, N, (H + 2 G) D], rotated; kept only if attention wants it
    Tensor attended;  // [B, N, H, D]; kept only if attention reads it again
    Residual middle;
    Tensor gate_up;  // [T, 2F], if it is kept
  };

  void lay_out_layer(Arena& arena, Layer& layer);
  void lay_out_scratch(Arena& arena);
  void lay_out_full_length(Arena& arena);
  void lay_out_attention_scratch(Arena& arena);
  /// Lays out something of every layer's attention over the same memory.
  void overlay_layers(Arena& arena, const std::function<void(Attention&)>& lay_out);
  void lay_out_mlp_scratch(Arena& arena);
  /// Whether a tensor that `by` would compute again is kept.
  bool keeps(Recompute by) const { return settings_.recompute < by; }
  Tensor activation(Arena& arena, MemoryUse use, const Shape& shape) const;
  void forward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights);
  void forward_mlp(const Stream& stream, Layer& layer, const LayerParameters& weights, const Residual& output,
                   const Tensor& next_norm);
  void backward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights,
                          const LayerParameters& gradients);
  void backward_mlp(const Stream& stream, Layer& layer, const LayerParameters& weights,
                    const LayerParameters& gradients);
  void recompute_block(const Stream& stream, Layer& layer, const LayerParameters& weights);
  void recompute_norm(const Stream& stream, const Residual& at, const Tensor& norm);
  void linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& weight);
  /// dx [T, I] and the weight's gradient of one linear layer.
  void linear_backward(const Stream& stream, const Tensor& dx, const Tensor& dweight, const Tensor& dout,
                       const Tensor& x, const Tensor& weight);
  /// to = from + projected_, and its norm.
  void add_projected(const Stream& stream, const Residual& to, const Residual& from, const Tensor& norm);
  /// d_residual_ += what flows back through a norm from d_normed_.
  void backward_norm(const Stream& stream, const Residual& at, const Tensor& norm, const Tensor& d_norm);
  void for_chunks_of_tokens(int64_t chunk, const std::function<void(int64_t begin, int64_t end)>& body) const;
  /// Tokens whose feed-forward part is in memory together.
  int64_t mlp_chunk() const;
  Tensor gate_up_of(const Layer& layer, int64_t begin, int64_t end) const;
  void notify_gradients_ready(int64_t layer) const {
    if (gradient_hook_) gradient_hook_(layer);
  }
  int64_t tokens() const { return settings_.batch * settings_.sequence_length; }

  ModelConfig config_;
  PassSettings settings_;
  Backend& backend_;
  LayerHook layer_hook_;
  QkvHook qkv_hook_;
  GradientHook gradient_hook_;

  RopeTable rope_;
  Documents documents_;
  std::vector<Layer> layers_;
  Residual output_;  // of the last layer
  Tensor losses_;    // [T]
  // Scratch.
  Residual shared_input_, shared_middle_;  // of layers that do not keep theirs: what of them is not kept
  Tensor qkv_, attended_;                  // likewise
  Tensor gate_up_;                         // likewise [MLP chunk, 2F]
  Tensor projected_;                       // what a half-layer adds to the residual stream [T, C]
  Tensor activated_;                       // [MLP chunk, F]
  Tensor logits_;                          // [chunk, V']
  Tensor d_residual_;                      // the gradient that runs down the residual stream [T, C]
  Tensor d_normed_;                        // [T, C]
  Tensor d_qkv_, d_attended_;
  Tensor d_gate_up_, d_activated_;
  Tensor norm_scratch_, embedding_scratch_, linear_scratch_;  // bytes
};

}  // namespace lighthouse
