// The architecture of a Llama, under the names of Hugging Face's config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/model/attention/settings.h"
#include "lighthouse/ops/rope.h"

namespace lighthouse {

struct ModelConfig {
  std::string tokenizer = "bytes";
  int64_t vocab_size = 257;         // bytes and end of text
  int64_t unused_tokens = 0;        // rows at the end of the vocabulary without a token
  int64_t hidden_size = 128;        // C
  int64_t intermediate_size = 384;  // F
  int64_t num_hidden_layers = 6;
  int64_t num_attention_heads = 4;  // H
  int64_t num_key_value_heads = 4;  // G
  int64_t explicit_head_dim = 0;    // D; 0: hidden_size / num_attention_heads
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-5;
  double initializer_range = 0.02;
  bool tie_word_embeddings = false;
  int64_t sliding_window = 0;                  // keys that a query sees, its own included; 0: all
  std::vector<int64_t> full_attention_layers;  // layers without the window; negative: from the end

  /// D, the size of a head.
  int64_t head_dim() const { return explicit_head_dim > 0 ? explicit_head_dim : hidden_size / num_attention_heads; }
  /// The tokens of loss and sampling: those before unused_tokens.
  int64_t token_count() const { return vocab_size - unused_tokens; }
  /// Rows of the embedding and the output layer: the vocabulary, padded to a multiple of 128.
  int64_t padded_vocab_size() const { return (vocab_size + 127) / 128 * 128; }
  /// (H + 2 G) D: the columns of the fused q, k, v.
  int64_t qkv_size() const { return (num_attention_heads + 2 * num_key_value_heads) * head_dim(); }

  /// The window of each layer that belongs to the architecture and applies to every kind of step and to generation;
  /// 0: none.
  std::vector<int64_t> sliding_windows() const;

  /// Throws InputError, which names the settings that contradict each other: head counts that do not divide, a head
  /// size that is not a multiple of 8, as many unused tokens as tokens, impossible RoPE frequencies.
  void check() const;

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// The attention of every layer in a step of kind `step`. A layer in sliding_windows() attends in that window in every
/// kind of step.
std::vector<LayerAttention> attention_of_layers(AttentionKind step, const AttentionSettings& settings,
                                                const ModelConfig& model);

/// The preset of that name ("tiny", "paper-530m", ...), if there is one.
std::optional<ModelConfig> model_preset(const std::string& name);
std::vector<std::string> model_preset_names();

}  // namespace lighthouse
