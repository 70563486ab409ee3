// The tensors of a checkpoint, in its safetensors files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lighthouse/io/safetensors.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {

/// All weights, under Hugging Face's names.
std::vector<NamedTensor> model_tensors(const Parameters& weights, const ModelConfig& model);

/// The moments that are held: whole ones as "exp_avg.NAME" in the weight's shape; of one that is not held whole its
/// stretch from element 4096 on as "exp_avg.NAME@4096", of one dimension.
std::vector<NamedTensor> moment_tensors(const Moments& moments, const ModelConfig& model);

/// Copies what is held from files that have it, whole or in stretches, of either type. Throws InputError if something
/// is missing or has another shape.
void read_moments(const std::vector<std::filesystem::path>& files, const Moments& moments, const ModelConfig& model);

}  // namespace lighthouse
