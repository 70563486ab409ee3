// A small Hugging Face Llama for imports, whose files tests can change.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/temporary_folder.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/core/bfloat16.h"
#include "lighthouse/core/file.h"
#include "lighthouse/io/safetensors.h"
#include "lighthouse/model/parameters.h"

namespace lighthouse {

struct HuggingFaceFolder {
  explicit HuggingFaceFolder(const TemporaryFolder& parent, bool tied = false) : path(parent / "hf") {
    model.vocab_size = 272;
    model.hidden_size = 32;
    model.intermediate_size = 24;
    model.num_hidden_layers = 2;
    model.num_attention_heads = 4;
    model.num_key_value_heads = 2;
    model.tie_word_embeddings = tied;
    config = {{"architectures", {"LlamaForCausalLM"}},
              {"model_type", "llama"},
              {"vocab_size", 272},
              {"hidden_size", 32},
              {"intermediate_size", 24},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 4},
              {"num_key_value_heads", 2},
              {"rms_norm_eps", 1e-5},
              {"rope_theta", 5000.0},
              {"hidden_act", "silu"},
              {"max_position_embeddings", 64},
              {"tie_word_embeddings", tied}};
    std::filesystem::create_directories(path);
    Arena measuring;
    lay_out_parameters(measuring, MemoryUse::kWeights, model);
    arena = Arena(measuring.used());
    const Parameters weights = lay_out_parameters(arena, MemoryUse::kWeights, model);
    initialize(weights, model, 5);
    for (const NamedParameter& named : hugging_face_views(weights, model))
      tensors.push_back({named.name, named.tensor});
    write();
  }

  /// Writes config.json and all tensors as one file.
  void write() const {
    write_file(path / "config.json", config.dump());
    write_safetensors(path / "model.safetensors", tensors, {{"format", "pt"}});
  }
  void write_config(const std::string& key, const nlohmann::json& value) {
    config[key] = value;
    write();
  }
  /// The index of a tensor in `tensors`.
  size_t find(const std::string& name) const {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].name == name) return i;
    }
    throw std::logic_error(name);
  }

  std::filesystem::path path;
  ModelConfig model;
  nlohmann::json config;
  Arena arena;
  std::vector<NamedTensor> tensors;
};

}  // namespace lighthouse
