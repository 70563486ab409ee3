// The weights of a Hugging Face folder: one safetensors file, or several with an index.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/io/safetensors.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

class WeightFiles {
 public:
  /// Opens model.safetensors if it exists, else the files that the index names. Throws InputError if files are missing
  /// or damaged, if two files have the same tensor, or if files and index disagree.
  explicit WeightFiles(const std::filesystem::path& folder);

  /// The model's tensors in the order of hugging_face_views(), as views that are valid as long as this object. Throws
  /// InputError with the names of missing, additional and wrongly shaped or typed tensors.
  std::vector<NamedTensor> tensors_of(const ModelConfig& model) const;

 private:
  void open(const std::string& file_name);
  void open_index(const std::filesystem::path& index);
  void check_extra(const ModelConfig& model, const std::vector<TensorSpec>& expected) const;

  std::filesystem::path folder_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, std::string> file_of_;  // by tensor
};

/// The names and shapes of a model's tensors in Hugging Face's format, in float32.
std::vector<TensorSpec> tensor_specs(const ModelConfig& model);

}  // namespace lighthouse
