// One sequence that a model continues: the prompt in one pass, then token by token.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lighthouse/eval/forward_pass.h"
#include "lighthouse/model/llama_decoder.h"

namespace lighthouse {

class Decoding {
 public:
  /// Sequences of up to `context` tokens. `weights` and `backend` must outlive it. Throws InputError if the device does
  /// not have the memory.
  Decoding(const ModelConfig& config, const Parameters& weights, int64_t context, Backend& backend);

  int64_t context() const { return context_; }
  /// Tokens of the sequence so far.
  int64_t length() const { return length_; }

  /// Begins anew with `tokens`, 1 to context() of them. The logits [V'] after the last.
  std::vector<float> start(const std::vector<int32_t>& tokens);
  /// One more token; length() must be below context(). The logits [V'] after it, valid until the next call. From the
  /// second call on its operations are launched as one recorded graph, where the device can record.
  std::span<const float> append(int32_t token);

 private:
  void lay_out(Arena& arena);
  void lay_out_host(Arena& arena);
  ForwardPass& prompt_pass(int64_t length);
  /// Tokens in, logits out.
  void enqueue_step(const Stream& stream);

  ModelConfig config_;
  const Parameters& weights_;
  int64_t context_;
  Backend& backend_;
  LlamaDecoder decoder_;
  std::unique_ptr<ForwardPass> prompt_;
  Arena arena_, host_arena_;
  Tensor logits_;                     // float32 [V'] on the device
  Tensor device_token_, host_token_;  // int32 [2]: the token and its position
  Tensor host_logits_;                // float32 [V']
  std::unique_ptr<Graph> graph_;
  int64_t length_ = 0;
  int64_t steps_ = 0;
};

}  // namespace lighthouse
