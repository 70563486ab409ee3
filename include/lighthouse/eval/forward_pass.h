// A model that is only asked, never trained: a forward pass with memory of its own.
#pragma once

#include <cstdint>

#include "lighthouse/model/llama.h"

namespace lighthouse {

class ForwardPass {
 public:
  /// `settings.backward` is taken as false. `backend` must outlive it. Throws InputError if the device does not have
  /// the memory, and for Llama's reasons.
  ForwardPass(const ModelConfig& config, const PassSettings& settings, Backend& backend);

  Llama& model() { return model_; }
  const Tensor& inputs() const { return inputs_; }    // int32 [B, N]
  const Tensor& targets() const { return targets_; }  // int32 [B, N]

  /// The logits after the last of `tokens`, 1 to N of them; the batch is 1. What follows them is padding, which a
  /// causal model does not see.
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
