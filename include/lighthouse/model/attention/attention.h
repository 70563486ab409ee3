// The interface of a layer's attention. CausalAttention and LighthouseAttention implement it.
#pragma once

#include <cstdint>
#include <memory>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/model/attention/settings.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// The sizes of q, k and v.
struct AttentionShape {
  int64_t batch = 1;            // B
  int64_t sequence_length = 0;  // N
  int64_t heads = 0;            // H
  int64_t kv_heads = 0;         // G
  int64_t head_dim = 0;         // D

  int64_t qkv_size() const { return (heads + 2 * kv_heads) * head_dim; }
};

/// The cosines and sines of every position, [N, D/2] each, shared by all layers.
struct RopeTable {
  Tensor cos;
  Tensor sin;
};

/// Views of a fused qkv [B, N, (H + 2 G) D].
struct QkvViews {
  QkvViews(const Tensor& qkv, const AttentionShape& shape);
  Tensor q;   // [B, N, H, D]
  Tensor k;   // [B, N, G, D]
  Tensor v;   // [B, N, G, D]
  Tensor qk;  // [B, N, H + G, D], q and k together, for RoPE
};

/// The attention of one layer, RoPE included (so that scoring and pooling may be fused with it). It owns what its
/// backward() needs from its forward(), except qkv and out, which the caller keeps where keeps_qkv() and keeps_output()
/// say so.
///
/// A pass either keeps everything from forward() to backward(), or calls recompute() just before backward(); then the
/// tensors of lay_out_recomputed() need not be kept.
class Attention {
 public:
  virtual ~Attention() = default;

  /// Whether backward() reads the qkv given to forward(), as forward() left it.
  virtual bool keeps_qkv() const = 0;
  /// Whether backward() reads the out given to forward(). If not, the caller may overwrite out, and restore_output()
  /// computes it again.
  virtual bool keeps_output() const = 0;

  /// Lays out what backward() needs from forward() and recompute() does not compute. Once per layer.
  virtual void lay_out_kept(Arena& arena) = 0;
  /// Lays out what recompute() computes for backward(). Once per layer; layers that are recomputed may share the
  /// memory.
  virtual void lay_out_recomputed(Arena& arena) = 0;
  /// Lays out what forward(), recompute() and backward() need while they run. All layers may share the memory.
  virtual void lay_out_scratch(Arena& arena) = 0;

  /// out [B, N, H, D] from the fused qkv [B, N, (H + 2 G) D] before RoPE. May apply RoPE to qkv in place.
  virtual void forward(const Stream& stream, const Tensor& out, const Tensor& qkv) = 0;
  /// After forward(), from the same qkv before RoPE: computes out, qkv and the tensors of lay_out_recomputed() with the
  /// same bits as forward() left them. Only where keeps_qkv().
  virtual void recompute(const Stream& stream, const Tensor& out, const Tensor& qkv) = 0;
  /// Computes the out of forward() again from what is kept. Does nothing where keeps_output().
  virtual void restore_output(const Stream& stream, const Tensor& out) = 0;
  /// dqkv [B, N, (H + 2 G) D], the gradient by qkv before RoPE, from dout [B, N, H, D]. `qkv` and `out` as forward()
  /// left them where keeps_qkv() and keeps_output(), else ignored.
  virtual void backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                        const Tensor& qkv) = 0;
};

/// Makes a layer's attention. `rope`, `backend` and `documents` must outlive it. With `documents`, dense and window
/// attention stay within each document. Throws InputError if the Lighthouse settings do not fit the shape.
std::unique_ptr<Attention> make_attention(const LayerAttention& layer, const LighthouseSettings& settings,
                                          const AttentionShape& shape, const RopeTable& rope, Backend& backend,
                                          const Documents* documents = nullptr);

}  // namespace lighthouse
