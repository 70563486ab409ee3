// The transformer once more, for one new token of one sequence: keys and values of the tokens before it are kept, so
// that a token costs one walk over the weights.
#pragma once

#include <cstdint>
#include <vector>

#include "lighthouse/core/arena.h"
#include "lighthouse/model/attention/attention.h"
#include "lighthouse/model/config.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Dense attention, or the model's own window in the layers that have one, as a trained model attends. The same
/// operations on the same tensors at every token, so that they can be captured once: which token it is, and where it
/// stands, is read on the device.
class LlamaDecoder {
 public:
  /// For sequences of up to `context` tokens. `backend` must outlive it.
  LlamaDecoder(const ModelConfig& config, int64_t context, double rope_theta, Backend& backend);
  LlamaDecoder(const LlamaDecoder&) = delete;
  LlamaDecoder& operator=(const LlamaDecoder&) = delete;

  /// Lays out the caches and what a token needs.
  void lay_out(Arena& arena);
  /// Once, after lay_out() on a real arena.
  void prepare(const Stream& stream);

  /// Takes keys and values of the first `length` tokens from a layer's qkv [1, N, (H + 2 G) D], rotated: what
  /// Llama::set_qkv_hook tells.
  void fill_cache(const Stream& stream, int64_t layer, const Tensor& qkv, int64_t length);

  /// logits() after `token` (int32 [1]), which stands at `position` (int32 [1], from 0): the caches must hold the
  /// tokens before it, and hold this one afterwards.
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
  RopeTable rope_;                // [M, D/2]
  std::vector<int64_t> windows_;  // of each layer, the model's own; 0: none
  std::vector<Cache> caches_;
  Tensor residual_;           // [1, C]
  Tensor qkv_;                // [1, (H + 2 G) D]
  Tensor attended_;           // [H, D]
  Tensor activated_;          // [1, F]
  Tensor logits_;             // [1, V']
  Tensor attention_scratch_;  // bytes
};

}  // namespace lighthouse
