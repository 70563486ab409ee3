// What a layer asks of its attention. Dense and Lighthouse attention stand behind it.
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
class Attention {
 public:
  virtual ~Attention() = default;

  /// Whether the qkv and the out given to forward() must be kept, as forward() left them, until backward(). If not,
  /// both may be overwritten, and restore_output() makes out again.
  virtual bool keeps_full_length() const = 0;

  /// Lays out what backward needs. Once per layer.
  virtual void lay_out_kept(Arena& arena) = 0;
  /// Lays out what forward and backward need while they run. All layers of a kind may share the same memory.
  virtual void lay_out_scratch(Arena& arena) = 0;

  /// out [B, N, H, D] from the un-rotated, fused qkv [B, N, (H + 2 G) D], which may be rotated in place.
  virtual void forward(const Stream& stream, const Tensor& out, const Tensor& qkv) = 0;
  /// Makes the forward's out again, for the gradient of the layer after it.
  virtual void restore_output(const Stream& stream, const Tensor& out) = 0;
  /// dqkv [B, N, (H + 2 G) D], by the un-rotated qkv; dout [B, N, H, D]. out and qkv as forward() left them if
  /// keeps_full_length(), else ignored.
  virtual void backward(const Stream& stream, const Tensor& dqkv, const Tensor& dout, const Tensor& out,
                        const Tensor& qkv) = 0;
};

/// Makes a layer's attention. `rope`, `backend` and `documents` must outlive it; dense attention stays inside
/// documents, where they are given. Throws InputError if the Lighthouse settings do not fit the shape.
std::unique_ptr<Attention> make_attention(AttentionKind kind, const LighthouseSettings& settings,
                                          const AttentionShape& shape, const RopeTable& rope, Backend& backend,
                                          const Documents* documents = nullptr);

}  // namespace lighthouse
