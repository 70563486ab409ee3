// What a golden file holds, and the comparison with it.
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

/// How a file is to be run.
struct RunOptions {
  bool indices_from_file = false;  // attention: use the file's selection instead of making one
};

/// One tensor or list of numbers against the file's.
struct Check {
  std::string name;
  double error = 0;
  double limit = 0;
  bool passed() const { return error <= limit; }  // false for NaN
};

/// The metadata's "meta" as JSON. Throws InputError if it is missing or no JSON object.
Json settings_of(const SafetensorsFile& file, const std::string& path);

/// The setting "scorer". Throws InputError for one that does not exist here.
Scorer scorer_of(const Json& settings);

/// Norm of the difference over norm of the reference, both float32; the views may be strided.
double relative_error(const Tensor& actual, const Tensor& reference);

/// Of rows along the last dimension: the largest norm of a difference over the larger of the row's own and the mean
/// row's norm.
double worst_row_error(const Tensor& actual, const Tensor& reference);

/// Copies element by element between views of the same shape, whatever their strides.
void copy_elements(const Tensor& to, const Tensor& from);

/// Rounds a float32 view's elements to what bfloat16 can hold, whatever its strides.
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
