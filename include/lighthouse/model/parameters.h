// The weights of a Llama: where each lies, what Hugging Face calls it, how it starts.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

struct LayerParameters {
  Tensor input_layernorm;           // [C]
  Tensor qkv;                       // [(H + 2 G) D, C]: q_proj, k_proj, v_proj below one another
  Tensor o_proj;                    // [C, H D]
  Tensor post_attention_layernorm;  // [C]
  Tensor gate_up;                   // [2F, C]: gate_proj above up_proj
  Tensor down_proj;                 // [C, F]
};

/// A set of tensors shaped like the weights: the weights themselves, their gradients, or an optimizer's moments.
struct Parameters {
  Tensor flat;          // all of them as one vector: what the gradient's norm is taken of
  Tensor matrices;      // its front: what weight decay is for
  Tensor vectors;       // the rest: the norms
  Tensor embed_tokens;  // [V', C], V' the padded vocabulary; padding stays 0
  std::vector<LayerParameters> layers;
  Tensor norm;     // [C]
  Tensor lm_head;  // [V', C]; the same memory as embed_tokens if they are tied
};

/// Rows of a parameter (of a vector: elements) that Hugging Face knows by a name of their own.
struct NamedRows {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  int64_t begin = 0;
  int64_t end = 0;
};

/// All that is said of one parameter. Layout, names, initial values, and which gradients are summed when, follow.
struct ParameterSpec {
  // Which member it is: of Parameters, or of its layer.
  Tensor Parameters::*outside = nullptr;
  Tensor LayerParameters::*inside = nullptr;
  /// The one at whose announcement its gradient is complete (Llama::GradientHook): its own layer; -1 for what backward
  /// reaches last, the number of layers for what it reaches first.
  int64_t layer = 0;
  Shape shape;  // a matrix, which weight decay is for, or a vector
  // It starts as mean + deviation times standard normal numbers.
  double mean = 0;
  double deviation = 0;
  std::vector<NamedRows> names = {};  // in the order of memory; rows without a name are padding, and stay 0
  int64_t begin = 0;                  // in Parameters::flat
  int64_t end = 0;                    // there, with what keeps the next one aligned

  bool is_matrix() const { return shape.rank() > 1; }
  const Tensor& of(const Parameters& parameters) const {
    return inside ? parameters.layers[static_cast<size_t>(layer)].*inside : parameters.*outside;
  }
};

/// All parameters in the order of Hugging Face's names. With tied embeddings there is no lm_head.
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);

/// Lays out a set of tensors of a floating-point type; their places in `flat` are the same for every type.
Parameters lay_out_parameters(Arena& arena, MemoryUse use, const ModelConfig& config, DType dtype = DType::kFloat32);

/// One tensor as Hugging Face knows it, a contiguous view: no padding, q, k, v apart.
struct NamedParameter {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  Tensor tensor;
};

/// All tensors under Hugging Face's names. With tied embeddings there is no lm_head.
std::vector<NamedParameter> hugging_face_views(const Parameters& parameters, const ModelConfig& config);

/// Weights to start from, in host memory, as parameter_specs() says: norms 1, all else normal with standard deviation
/// initializer_range, o_proj and down_proj divided by sqrt(2 layers). A number depends on the seed, the tensor's name
/// and its place in it alone.
void initialize(const Parameters& weights, const ModelConfig& config, uint64_t seed);

/// Elements of all weights, without padding; tied embeddings counted once.
int64_t parameter_count(const ModelConfig& config);

}  // namespace lighthouse
