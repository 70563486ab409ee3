// The transformer for one new token of one sequence, with a cache of the keys and values of the tokens before it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lighthouse/core/arena.h"
#include "lighthouse/model/attention/attention.h"
#include "lighthouse/model/config.h"
#include "lighthouse/model/feed_forward/feed_forward.h"
#include "lighthouse/model/linear.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Every layer attends densely, or in the model's own window (ModelConfig::sliding_windows). Each token runs the same
/// operations on the same tensors, so that a token can be captured as a graph once: the token and its position are read
/// on the device.
class LlamaDecoder {
 public:
  /// For sequences of up to `context` tokens. `backend` must outlive it.
  LlamaDecoder(const ModelConfig& config, int64_t context, double rope_theta, Backend& backend);
  LlamaDecoder(const LlamaDecoder&) = delete;
  LlamaDecoder& operator=(const LlamaDecoder&) = delete;

  /// Lays out the caches and scratch.
  void lay_out(Arena& arena);
  /// Fills the constants. Call it once, after lay_out() on a real arena.
  void prepare(const Stream& stream);

  /// Copies the keys and values of the first `length` tokens from a layer's qkv [1, N, (H + 2 G) D] after RoPE
  /// (LayerHooks::qkv_ready) into the cache.
  void fill_cache(const Stream& stream, int64_t layer, const Tensor& qkv, int64_t length);

  /// Computes logits() after `token` (int32 [1]) at `position` (int32 [1], from 0), both on the device. The caches must
  /// hold the tokens before it; afterwards they hold this one too.
  void forward(const Stream& stream, const Parameters& weights, const Tensor& token, const Tensor& position);

  /// [1, V'], of the last forward().
  const Tensor& logits() const { return logits_; }

 private:
  struct Cache {
    Tensor keys, values;  // [M, G, D]
  };

  ModelConfig config_;
  int64_t context_;
  double rope_theta_;
  Backend& backend_;
  Linear linear_;
  std::unique_ptr<FeedForward> feed_forward_;  // of all layers: decoding keeps nothing
  RopeTable rope_;                             // [M, D/2]
  std::vector<int64_t> windows_;               // of each layer; 0: none
  std::vector<Cache> caches_;
  Tensor residual_;           // [1, C]
  Tensor qkv_;                // [1, (H + 2 G) D]
  Tensor attended_;           // [H, D]
  Tensor logits_;             // [1, V']
  Tensor attention_scratch_;  // bytes
};

}  // namespace lighthouse
