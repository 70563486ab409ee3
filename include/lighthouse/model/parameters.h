// The parameters of a Llama: one table from which layout, initial weights, gradient buckets, sharding, weight decay,
// checkpoints, import and export follow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

struct LayerParameters {
  Tensor input_layernorm;           // [C]
  Tensor qkv;                       // [(H + 2 G) D, C]: rows of q_proj, k_proj, v_proj
  Tensor o_proj;                    // [C, H D]
  Tensor post_attention_layernorm;  // [C]
  Tensor gate_up;                   // [2F, C]: rows of gate_proj, up_proj
  Tensor down_proj;                 // [C, F]
};

/// A set of tensors with the shapes of the parameters: weights, gradients, or a moment of the optimizer.
struct Parameters {
  Tensor flat;          // all of them as one vector
  Tensor matrices;      // its front: the parameters with weight decay
  Tensor vectors;       // the rest, without weight decay
  Tensor embed_tokens;  // [V', C], V' the padded vocabulary; padding stays 0
  std::vector<LayerParameters> layers;
  Tensor norm;     // [C]
  Tensor lm_head;  // [V', C]; the same memory as embed_tokens with tied embeddings
};

/// A tensor as Hugging Face names it. It lies contiguously in Parameters::flat.
struct HuggingFaceTensor {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  Shape shape;
  int64_t begin = 0;  // in Parameters::flat
};

/// One row of the table of parameters.
struct ParameterSpec {
  // The member of Parameters, or of its layer. One of them is null.
  Tensor Parameters::*outside = nullptr;
  Tensor LayerParameters::*inside = nullptr;
  /// Its layer; -1 for the embedding, num_hidden_layers for what follows the last layer. The gradient of a matrix is
  /// complete when LayerHooks::gradients_ready is called with this number.
  int64_t layer = 0;
  Shape shape;
  // Initial values: mean + deviation * standard normal numbers.
  double mean = 0;
  double deviation = 0;
  bool weight_decay = true;  // for matrices; they come first in Parameters::flat
  /// The rows of the parameter in their order, as Hugging Face names them. Rows after them are padding.
  std::vector<HuggingFaceTensor> tensors = {};
  // Place in Parameters::flat; `end` includes the padding that aligns the next parameter.
  int64_t begin = 0;
  int64_t end = 0;
};

/// The table, in the order of Hugging Face's names. With tied embeddings there is no lm_head.
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);

/// The tensors of the table.
std::vector<HuggingFaceTensor> hugging_face_tensors(const ModelConfig& config);

/// Lays out a set of parameters of a floating-point type. Places in `flat` are the same for every type.
Parameters lay_out_parameters(Arena& arena, MemoryUse use, const ModelConfig& config, DType dtype = DType::kFloat32);

/// A view of a parameter, or of a part of one, under Hugging Face's name.
struct NamedParameter {
  std::string name;
  Tensor tensor;
};

/// All tensors under Hugging Face's names, without padding, as contiguous views.
std::vector<NamedParameter> hugging_face_views(const Parameters& parameters, const ModelConfig& config);

/// Fills float32 `weights` in host memory with initial values: norms 1, all else normal with standard deviation
/// initializer_range, o_proj and down_proj divided by sqrt(2 layers). An element depends on the seed, the name of its
/// tensor and its index there alone.
void initialize(const Parameters& weights, const ModelConfig& config, uint64_t seed);

/// The number of elements of all weights, without padding; tied embeddings are counted once.
int64_t parameter_count(const ModelConfig& config);

}  // namespace lighthouse
