// What a layer asks of its attention. Causal (dense or in a window) and Lighthouse attention implement it.
#pragma once

#include <cstdint>
#include <memory>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/model/attention/settings.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// The sizes that attention works on.
struct AttentionShape {
  int64_t batch = 1;            // B
  int64_t sequence_length = 0;  // N
  int64_t heads = 0;            // H
  int64_t kv_heads = 0;         // G
  int64_t head_dim = 0;         // D

  int64_t qkv_size() const { return (heads + 2 * kv_heads) * head_dim; }
};

/// The cosines and sines of every position, [N, D/2] each: made once, used by all layers.
struct RopeTable {
  Tensor cos;
  Tensor sin;
};

/// The views of a fused qkv [B, N, (H + 2 G) D].
struct QkvViews {
  QkvViews(const Tensor& qkv, const AttentionShape& shape);
  Tensor q;   // [B, N, H, D]
  Tensor k;   // [B, N, G, D]
  Tensor v;   // [B, N, G, D]
  Tensor qk;  // [B, N, H + G, D], q and k together: what RoPE rotates
};

/// The attention of one layer. It owns what its backward needs from its forward, laid out in the arena beforehand.
/// Rotary position embedding is inside, so that it can be fused with scoring and pooling.
///
/// A pass either keeps everything from forward() to backward(), or calls recompute() just before backward(): then what
/// recompute() makes need not be kept.
class Attention {
 public:
  virtual ~Attention() = default;

  /// Whether backward() reads the qkv given to forward(), as forward() left it.
  virtual bool keeps_qkv() const = 0;
  /// Whether backward() reads the out given to forward(). If not, out may be overwritten, and restore_output() makes it
  /// again.
  virtual bool keeps_output() const = 0;

  /// Lays out what backward() needs from forward() and recompute() does not make. Once per layer.
  virtual void lay_out_kept(Arena& arena) = 0;
  /// Lays out what recompute() makes for backward(). Once per layer; layers that are recomputed may share the memory.
  virtual void lay_out_recomputed(Arena& arena) = 0;
  /// Lays out what forward(), recompute() and backward() need while they run. All layers may share the memory.
  virtual void lay_out_scratch(Arena& arena) = 0;

  /// out [B, N, H, D] from the un-rotated, fused qkv [B, N, (H + 2 G) D], which may be rotated in place.
  virtual void forward(const Stream& stream, const Tensor& out, const Tensor& qkv) = 0;
  /// After forward(), from the same un-rotated qkv: out, qkv and what lay_out_recomputed() laid out, as forward() left
  /// them, to the same bits. Only where keeps_qkv().
  virtual void recompute(const Stream& stream, const Tensor& out, const Tensor& qkv) = 0;
  /// Makes the forward's out again from what is kept, for the gradient of the layer after it.
  virtual void restore_output(const Stream& stream, const Tensor& out) = 0;
  /// dqkv [B, N, (H + 2 G) D], by the un-rotated qkv; dout [B, N, H, D]. qkv and out as forward() left them where
  /// keeps_qkv() and keeps_output(), else ignored.
  virtual void backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                        const Tensor& qkv) = 0;
};

/// Makes a layer's attention. `rope`, `backend` and `documents` must outlive it; dense and window attention stay inside
/// documents, where they are given. Throws InputError if the Lighthouse settings do not fit the shape.
std::unique_ptr<Attention> make_attention(const LayerAttention& layer, const LighthouseSettings& settings,
                                          const AttentionShape& shape, const RopeTable& rope, Backend& backend,
                                          const Documents* documents = nullptr);

}  // namespace lighthouse
