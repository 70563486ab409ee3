// The architectures of transformers that this program supports, and their keys about windows.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "key_reader.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

/// An architecture with Llama layers.
struct Architecture {
  const char* model_type;
  const char* name;  // as in `architectures`
  bool has_windows;  // if false, transformers ignores all keys about windows
  // Defaults of transformers for missing keys.
  int64_t max_position_embeddings;
  int64_t num_key_value_heads;  // 0: num_attention_heads
  int64_t sliding_window;       // 0: none
};

/// The architecture that `model_type` names or, without that key, `architectures`. Throws InputError if this program
/// does not support it, or if the two keys disagree.
const Architecture& architecture_of(const KeyReader& keys);

/// The architecture under which `model` is exported: Llama without windows, Mistral with a window in every layer,
/// Ministral with a window in some layers.
const Architecture& architecture_for(const ModelConfig& model);

/// Sets the model's own window and the layers without it from `sliding_window` (null: none) and `layer_types` (absent:
/// every layer has the window), as transformers does. Throws InputError if keys contradict each other, or if a key that
/// transformers ignores in this architecture but not in others would change the result for up to
/// `max_position_embeddings` tokens. Requires `model.num_hidden_layers`.
void read_windows(const KeyReader& keys, const Architecture& architecture, int64_t max_position_embeddings,
                  ModelConfig& model);

/// Adds the keys that read_windows() reads, if the model has windows.
void write_windows(const ModelConfig& model, nlohmann::json& json);

}  // namespace lighthouse
