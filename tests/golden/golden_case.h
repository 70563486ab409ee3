// Golden files and comparisons with them.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lighthouse/io/safetensors.h"
#include "lighthouse/model/attention/settings.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse::golden {

using Json = nlohmann::json;

/// Options of a run.
struct RunOptions {
  bool indices_from_file = false;  // attention: use the file's selection instead of the layer's
};

/// The comparison of one tensor or list of numbers with the file's.
struct Check {
  std::string name;
  double error = 0;
  double limit = 0;
  bool passed() const { return error <= limit; }  // false for a NaN
};

/// The metadata's "meta" as JSON. Throws InputError if it is missing or not a JSON object.
Json settings_of(const SafetensorsFile& file, const std::string& path);

/// The setting "scorer". Throws InputError for an unknown scorer.
Scorer scorer_of(const Json& settings);

/// Norm of the difference over norm of the reference, both float32; the views may be strided.
double relative_error(const Tensor& actual, const Tensor& reference);

/// The largest error of a row along the last dimension, relative to the larger of that row's norm and the mean norm of
/// rows.
double worst_row_error(const Tensor& actual, const Tensor& reference);

/// Copies between views of the same shape with any strides.
void copy_elements(const Tensor& to, const Tensor& from);

/// Rounds the elements of a float32 view with any strides to bfloat16 values.
void round_to_bfloat16(const Tensor& tensor);

/// Runs one Lighthouse Attention layer forward and backward on the file's q, k, v, dout.
std::vector<Check> run_attention_case(const SafetensorsFile& file, const Json& settings, const RunOptions& options,
                                      Backend& backend);

/// Runs a Llama in Hugging Face's format that lies beside the file, or a checkpoint, on the file's tokens.
std::vector<Check> run_hugging_face_case(const SafetensorsFile& file, const Json& settings, const std::string& path,
                                         Backend& backend);

/// Trains the file's Llama on the file's tokens.
std::vector<Check> run_model_case(const SafetensorsFile& file, const Json& settings, Backend& backend);

}  // namespace lighthouse::golden
