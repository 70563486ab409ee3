// The settings of a Llama, under Hugging Face's names.
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
  int64_t unused_tokens = 0;        // rows at the end of the vocabulary that stand for no token
  int64_t hidden_size = 128;        // C
  int64_t intermediate_size = 384;  // F
  int64_t num_hidden_layers = 6;
  int64_t num_attention_heads = 4;  // H
  int64_t num_key_value_heads = 4;  // G
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-5;
  double initializer_range = 0.02;
  bool tie_word_embeddings = false;
  int64_t sliding_window = 0;                  // keys that a layer's queries see, their own included; 0: all
  std::vector<int64_t> full_attention_layers;  // layers without that window; negative: from the end

  int64_t head_dim() const { return hidden_size / num_attention_heads; }
  /// Tokens that exist: what loss and sampling look at.
  int64_t token_count() const { return vocab_size - unused_tokens; }
  /// Rows of the embedding and the output layer: the vocabulary, padded to a multiple of 128.
  int64_t padded_vocab_size() const { return (vocab_size + 127) / 128 * 128; }
  /// (H + 2 G) D: the columns of the fused q, k, v.
  int64_t qkv_size() const { return (num_attention_heads + 2 * num_key_value_heads) * head_dim(); }

  /// The model's own window in each layer, which holds in every kind of step and in generation; 0: none.
  std::vector<int64_t> sliding_windows() const;

  /// Throws InputError naming the settings that do not fit together (heads that do not divide, a head size that is not
  /// a multiple of 8, more unused tokens than there are, impossible frequencies).
  void check() const;

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// The attention of every layer in a step of the given kind. A layer with a window of the model's own attends in that
/// window in every kind of step.
std::vector<LayerAttention> attention_of_layers(AttentionKind step, const AttentionSettings& settings,
                                                const ModelConfig& model);

/// A model by name: "tiny", "paper-530m", ... Nothing if there is none of that name.
std::optional<ModelConfig> model_preset(const std::string& name);
std::vector<std::string> model_preset_names();

}  // namespace lighthouse
