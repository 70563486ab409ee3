// The transformer: Llama's forward and backward pass, written out by hand against Backend.
//
//   x = embed_tokens[tokens]
//   each layer:  x += o_proj(attention(qkv(rmsnorm(x))))
//                x += feed_forward(rmsnorm(x))
//   logits = lm_head(rmsnorm(x))
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "lighthouse/core/arena.h"
#include "lighthouse/model/attention/attention.h"
#include "lighthouse/model/config.h"
#include "lighthouse/model/feed_forward/feed_forward.h"
#include "lighthouse/model/linear.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/model/recompute.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// The batch shape of a pass over the model, and how it runs.
struct PassSettings {
  int64_t batch = 1;            // B
  int64_t sequence_length = 0;  // N
  AttentionKind kind = AttentionKind::kDense;
  AttentionSettings attention;  // the attention of each layer in a step of `kind`
  double rope_theta = 10000;
  bool backward = true;  // false: forward only, activations are not kept
  Recompute recompute = Recompute::kNone;
  std::optional<int32_t> document_end;  // dense and window attention stay between two such tokens
  int64_t logits_bytes = 0;             // size of a chunk of logits; 0: Backend::logits_bytes()
};

/// Functions that a pass calls as it enqueues a layer's work. Empty functions are skipped. They may enqueue work on the
/// pass's stream, or throw to abandon the pass. Hooks do not run where a pass is replayed as a recorded graph.
struct LayerHooks {
  using Layer = std::function<void(int64_t layer)>;
  using Qkv = std::function<void(int64_t layer, const Tensor& qkv)>;

  /// Before a layer's forward, and before its backward. Exception: the layer before reads input_layernorm already, at
  /// the end of its forward.
  Layer weights_needed = {};
  /// After a layer's forward, and after its backward.
  Layer weights_done = {};
  /// After the attention of a layer's forward, with qkv [B, N, (H + 2 G) D] after RoPE: the keys and values of a cache.
  Qkv qkv_ready = {};
  /// During backward: all gradients of the parameters whose ParameterSpec::layer is at least `layer`, vectors excepted,
  /// are complete. Called with num_hidden_layers (not with tied embeddings), with each layer, the last one first, and
  /// with -1, when vectors are complete too.
  Layer gradients_ready = {};
};

/// A Llama bound to one batch shape and one kind of attention. It does not hold weights; they come with each call, so
/// that several passes (training, the dense steps among Lighthouse steps, evaluation) share them. Passes that never run
/// at the same time may be laid out over the same memory.
///
/// A training micro-batch is forward(), loss_backward(), backward(), in this order. One thread makes all calls; work is
/// enqueued on the given stream.
class Llama {
 public:
  /// Throws InputError if the Lighthouse settings do not fit the sequence length. `backend` must outlive the model.
  Llama(const ModelConfig& config, const PassSettings& settings, Backend& backend);
  Llama(const Llama&) = delete;
  Llama& operator=(const Llama&) = delete;

  /// Lays out activations and scratch.
  void lay_out(Arena& arena);
  /// Fills the constants (RoPE's table). Call it after lay_out() on a real arena, and again whenever another pass has
  /// used the same memory.
  void prepare(const Stream& stream);

  /// Adds hooks to those already there; all are called, in the order in which they were added. Returns a handle for
  /// remove_hooks(). Neither may be called from within a hook.
  using HooksHandle = int64_t;
  HooksHandle add_hooks(LayerHooks hooks);
  void remove_hooks(HooksHandle handle) { hooks_.erase(handle); }

  /// Runs the layers on tokens int32 [B, N].
  void forward(const Stream& stream, const Parameters& weights, const Tensor& tokens);

  /// After forward(): fills losses() for targets int32 [B, N]. Works on chunks of tokens, so the logits of all tokens
  /// are never in memory together.
  void loss(const Stream& stream, const Parameters& weights, const Tensor& targets);

  /// loss(), and the first part of backward: the gradients of lm_head and of the last hidden state. `scale` multiplies
  /// each token's loss: 1 / (tokens of the whole step) for the gradient of the mean.
  void loss_backward(const Stream& stream, const Parameters& weights, const Parameters& gradients,
                     const Tensor& targets, double scale);

  /// After loss_backward(): the rest of backward. Adds to `gradients`.
  void backward(const Stream& stream, const Parameters& weights, const Parameters& gradients, const Tensor& tokens);

  /// float32 [B N]: -log p(target) in nats, of the last loss() or loss_backward().
  const Tensor& losses() const { return losses_; }

  /// After forward(): out [T, V'] = the logits of tokens [first, first + T) of the flattened batch.
  void logits(const Stream& stream, const Tensor& out, const Parameters& weights, int64_t first);

  /// The attention of a layer, for tests.
  Attention& attention(int64_t layer) { return *layers_[static_cast<size_t>(layer)].attention; }

 private:
  /// The residual stream at one point, and its norm, which the next half of a layer reads.
  struct Residual {
    Tensor sum;     // [T, C]
    Tensor normed;  // [T, C]
    Tensor rstd;    // [T]
  };
  /// What backward reads of one layer. Tensors that are not kept lie in scratch shared by all layers and are recomputed
  /// before they are read.
  struct Layer {
    std::unique_ptr<Attention> attention;
    std::unique_ptr<FeedForward> feed_forward;
    Residual input;
    Tensor qkv;       // [B, N, (H + 2 G) D] after RoPE; kept if attention reads it in backward
    Tensor attended;  // [B, N, H, D]; kept if attention reads it in backward
    Residual middle;
  };

  void lay_out_layer(Arena& arena, Layer& layer);
  void lay_out_scratch(Arena& arena);
  void lay_out_full_length(Arena& arena);
  void lay_out_attention_scratch(Arena& arena);
  /// Lays out a part of every layer over the same memory.
  void overlay_layers(Arena& arena, const std::function<void(Layer&)>& lay_out);
  /// Whether the tensors that `by` would recompute are kept.
  bool keeps(Recompute by) const { return settings_.recompute < by; }
  Tensor activation(Arena& arena, MemoryUse use, const Shape& shape) const;

  void forward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights);
  /// layer.qkv from layer.input.normed, before RoPE.
  void project_qkv(const Stream& stream, const Layer& layer, const LayerParameters& weights);
  /// layer.middle from layer.attended and layer.input.
  void project_attended(const Stream& stream, const Layer& layer, const LayerParameters& weights);
  void forward_feed_forward(const Stream& stream, Layer& layer, const LayerParameters& weights, const Residual& output,
                            const Tensor& next_norm);
  void backward_attention(const Stream& stream, Layer& layer, const LayerParameters& weights,
                          const LayerParameters& gradients);
  void backward_feed_forward(const Stream& stream, Layer& layer, const LayerParameters& weights,
                             const LayerParameters& gradients);
  void recompute_block(const Stream& stream, Layer& layer, const LayerParameters& weights);
  void recompute_norm(const Stream& stream, const Residual& at, const Tensor& norm);
  /// to = from + projected_, and its norm.
  void add_projected(const Stream& stream, const Residual& to, const Residual& from, const Tensor& norm);
  /// d_residual_ += the gradient of a norm's input, from d_normed_.
  void backward_norm(const Stream& stream, const Residual& at, const Tensor& norm, const Tensor& d_norm);
  void call_hooks(LayerHooks::Layer LayerHooks::*hook, int64_t layer) const;
  int64_t tokens() const { return settings_.batch * settings_.sequence_length; }

  ModelConfig config_;
  PassSettings settings_;
  Backend& backend_;
  std::map<HooksHandle, LayerHooks> hooks_;
  HooksHandle next_hooks_ = 0;

  Linear linear_;
  RopeTable rope_;
  Documents documents_;
  std::vector<Layer> layers_;
  Residual output_;  // of the last layer
  Tensor losses_;    // [T]
  // Scratch.
  Residual shared_input_, shared_middle_;  // the tensors of Layer::input and Layer::middle that are not kept
  Tensor qkv_, attended_;                  // the same for Layer::qkv and Layer::attended
  Tensor projected_;                       // what half a layer adds to the residual stream [T, C]
  Tensor logits_;                          // [chunk, V']
  Tensor d_residual_;                      // gradient of the residual stream [T, C]
  Tensor d_normed_;                        // [T, C]
  Tensor d_qkv_, d_attended_;
  Tensor norm_scratch_, embedding_scratch_;  // bytes
};

}  // namespace lighthouse
