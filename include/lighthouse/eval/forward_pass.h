// A forward pass with its own memory, for evaluation.
#pragma once

#include <cstdint>

#include "lighthouse/model/llama.h"

namespace lighthouse {

/// Owns a model's activations and batch memory; weights come with each call. Not thread-safe.
class ForwardPass {
 public:
  /// Ignores `settings.backward`. `backend` must outlive the object. Throws InputError if the device lacks memory, and
  /// for Llama's reasons.
  ForwardPass(const ModelConfig& config, const PassSettings& settings, Backend& backend);

  Llama& model() { return model_; }
  const Tensor& inputs() const { return inputs_; }    // int32 [B, N]
  const Tensor& targets() const { return targets_; }  // int32 [B, N]

  /// The logits after the last of `tokens`, 1 to N of them. Requires a batch size of 1. The rest of the sequence is
  /// padding, which a causal model does not see.
  std::vector<float> next_logits(const Parameters& weights, const std::vector<int32_t>& tokens);

 private:
  void lay_out(Arena& arena);

  ModelConfig config_;
  PassSettings settings_;
  Backend& backend_;
  Llama model_;
  Arena arena_;
  Tensor inputs_, targets_;
  Tensor logits_;  // [1, V']
};

}  // namespace lighthouse
