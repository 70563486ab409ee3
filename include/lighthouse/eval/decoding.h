// Decoding with a key-value cache: the prompt in one pass, then token by token.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lighthouse/eval/forward_pass.h"
#include "lighthouse/model/llama_decoder.h"

namespace lighthouse {

/// A sequence that a model continues. Owns the cache and its memory. Not thread-safe.
class Decoding {
 public:
  /// For sequences of at most `context` tokens. `weights` and `backend` must outlive the object. Throws InputError if
  /// the device lacks memory.
  Decoding(const ModelConfig& config, const Parameters& weights, int64_t context, Backend& backend);

  int64_t context() const { return context_; }
  /// The number of tokens in the sequence.
  int64_t length() const { return length_; }

  /// Starts a new sequence with `tokens`, 1 to context() of them. Returns the logits [V'] after the last token.
  std::vector<float> start(const std::vector<int32_t>& tokens);
  /// Appends a token; requires length() < context(). Returns the logits [V'] after it, valid until the next call. On a
  /// device that records graphs, calls after the first launch one recorded graph.
  std::span<const float> append(int32_t token);

 private:
  void lay_out(Arena& arena);
  void lay_out_host(Arena& arena);
  ForwardPass& prompt_pass(int64_t length);
  /// Copies the token to the device, runs the decoder, copies the logits back.
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
