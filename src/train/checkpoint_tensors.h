// The tensors of a checkpoint in its safetensors files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lighthouse/io/safetensors.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {

/// All weights under Hugging Face's names.
std::vector<NamedTensor> weight_tensors(const Parameters& weights, const ModelConfig& model);

/// What the shards hold of each parameter: a whole one as "exp_avg.NAME" in the parameter's shape, a stretch that
/// begins at its element 4096 as "exp_avg.NAME@4096" of one dimension.
std::vector<NamedTensor> optimizer_tensors(const std::vector<StateTensor>& state, const ModelConfig& model);

/// Copies what the shards hold from files that have it, whole or in stretches, in float32 or bfloat16. Throws
/// InputError if an element is missing or present twice, or a tensor has another shape.
void read_optimizer_tensors(const std::vector<std::filesystem::path>& files, const std::vector<StateTensor>& state,
                            const ModelConfig& model);

}  // namespace lighthouse
