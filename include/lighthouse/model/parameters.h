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

/// Lays out a set of tensors of a floating-point type; their places in `flat` are the same for every type.
Parameters lay_out_parameters(Arena& arena, MemoryUse use, const ModelConfig& config, DType dtype = DType::kFloat32);

/// One tensor as Hugging Face knows it, a contiguous view: no padding, q, k, v apart.
struct NamedParameter {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  Tensor tensor;
};

/// All tensors under Hugging Face's names. With tied embeddings there is no lm_head.
std::vector<NamedParameter> hugging_face_views(const Parameters& parameters, const ModelConfig& config);

/// Weights to start from, in host memory: norms 1, all else normal with standard deviation initializer_range, o_proj
/// and down_proj divided by sqrt(2 layers). A number depends on the seed, the tensor's name and its place in it alone.
void initialize(const Parameters& weights, const ModelConfig& config, uint64_t seed);

/// Elements of all weights, without padding; tied embeddings counted once.
int64_t parameter_count(const ModelConfig& config);

}  // namespace lighthouse
