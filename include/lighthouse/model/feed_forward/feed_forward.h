// The interface of a layer's feed-forward network. SwigluFeedForward implements it.
#pragma once

#include <cstdint>
#include <memory>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/model/config.h"
#include "lighthouse/model/linear.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// What a feed-forward network works on.
struct FeedForwardSettings {
  int64_t tokens = 0;             // T
  int64_t intermediate_size = 0;  // F
  bool backward = false;          // false: no memory for backward()
  bool keep_inner = true;         // keep the tensors of width F for backward(); false: backward() computes them again
};

/// The feed-forward network of one layer: from the normed hidden state [T, C] to what the layer adds to the residual
/// stream [T, C]. It owns what its backward() needs from its forward(). Weights come with each call.
///
/// Tensors of width F are large, so an implementation may work on chunks of tokens. Results do not depend on
/// `keep_inner`: recomputed tensors have the same bits.
class FeedForward {
 public:
  virtual ~FeedForward() = default;

  /// Lays out what backward() needs from forward(). Once per layer.
  virtual void lay_out_kept(Arena& arena) = 0;
  /// Lays out what forward() and backward() need while they run. All layers may share this memory.
  virtual void lay_out_scratch(Arena& arena) = 0;

  /// out [T, C] from normed [T, C].
  virtual void forward(const Stream& stream, const Tensor& out, const Tensor& normed,
                       const LayerParameters& weights) = 0;
  /// d_normed [T, C] from dout [T, C]; adds to `gradients`. `normed` as forward() got it.
  virtual void backward(const Stream& stream, const Tensor& d_normed, const Tensor& dout, const Tensor& normed,
                        const LayerParameters& weights, const LayerParameters& gradients) = 0;

  /// Lays out what decode() needs while it runs. All layers may share this memory.
  virtual void lay_out_decoding(Arena& arena) = 0;
  /// One token of generation: residual [1, C] += network(rmsnorm(residual, norm)).
  virtual void decode(const Stream& stream, const Tensor& residual, const Tensor& norm, double epsilon,
                      const LayerParameters& weights) = 0;
};

/// Makes a layer's feed-forward network. `linear` and `backend` must outlive it.
std::unique_ptr<FeedForward> make_feed_forward(const FeedForwardSettings& settings, const Linear& linear,
                                               Backend& backend);

}  // namespace lighthouse
